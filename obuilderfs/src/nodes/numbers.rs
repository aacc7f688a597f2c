//! Whether any node has a certain inode number, without a look at each view: of all that changes on a file system
//! hardly anything is known to the kernel, and whoever reads of it keeps others waiting.
use std::sync::atomic::{AtomicU16, Ordering};

/// Bits of a slot's number.
const SLOT_BITS: u32 = 15;

/// How many nodes have a number that falls into each slot. With more nodes than slots the answer is mostly "perhaps".
///
/// Every access is ordered with the others and with [`crate::changes::Changes::lots`]: whoever notes a number and then
/// finds that nothing was read is seen by whoever reads afterwards.
#[derive(Debug)]
pub(super) struct Numbers(Box<[AtomicU16]>);

impl Default for Numbers {
    fn default() -> Self {
        Self((0..1 << SLOT_BITS).map(|_| AtomicU16::new(0)).collect())
    }
}

impl Numbers {
    fn slot(&self, ino: u64) -> &AtomicU16 {
        // Fibonacci hashing: numbers of one directory are neighbours.
        let slot = ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOT_BITS);
        &self.0[slot as usize]
    }

    /// A node with that number is about to be there.
    pub(super) fn add(&self, ino: u64) {
        let more = |count: u16| Some(count.saturating_add(1));
        let _ = self.slot(ino).fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
    }

    /// A node with that number is gone.
    pub(super) fn remove(&self, ino: u64) {
        // A slot that was full has lost count.
        let fewer = |count: u16| (count != u16::MAX).then(|| count.saturating_sub(1));
        let _ = self.slot(ino).fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
    }

    /// False if no node has that number.
    pub(super) fn may_hold(&self, ino: u64) -> bool {
        self.slot(ino).load(Ordering::SeqCst) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_until_its_last_node_is_gone() {
        let numbers = Numbers::default();
        assert!(!numbers.may_hold(7));
        (0..3).for_each(|_| numbers.add(7));
        (0..2).for_each(|_| numbers.remove(7));
        assert!(numbers.may_hold(7));
        numbers.remove(7);
        assert!(!numbers.may_hold(7));
    }

    #[test]
    fn a_slot_that_lost_count_stays_held() {
        let numbers = Numbers::default();
        (0..=u32::from(u16::MAX)).for_each(|_| numbers.add(7));
        (0..=u32::from(u16::MAX)).for_each(|_| numbers.remove(7));
        assert!(numbers.may_hold(7));
    }

    #[test]
    fn neighbours_do_not_share_a_slot() {
        let numbers = Numbers::default();
        (1000..2000).for_each(|ino| numbers.add(ino));
        let others = (2000..12_000).filter(|ino| numbers.may_hold(*ino)).count();
        assert!(others < 1000, "{others} of 10 000");
    }
}
