//! Our descriptors are for all users: however many files one of them opens, there are some left for the others.
use std::collections::HashMap;
use std::sync::Arc;

use nix::errno::Errno;
use parking_lot::Mutex;

/// Descriptors that open files and directories may take.
#[derive(Debug)]
pub(super) struct Shares {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_uid: HashMap<u32, usize>,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    uid: u32,
    of: Arc<Shares>,
}

impl Shares {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default() })
    }

    /// Takes one for `uid`. A user may have as many as it leaves; root takes what there is.
    ///
    /// # Errors
    /// `ENFILE` if `uid` has its share.
    pub(super) fn take(self: &Arc<Self>, uid: u32) -> Result<Share, Errno> {
        let mut taken = self.taken.lock();
        let left = self.limit.saturating_sub(taken.all);
        let own = taken.by_uid.get(&uid).copied().unwrap_or_default();
        if left == 0 || uid != 0 && own > left {
            return Err(Errno::ENFILE);
        }
        taken.all += 1;
        taken.by_uid.insert(uid, own + 1);
        Ok(Share { uid, of: Arc::clone(self) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock();
        taken.all -= 1;
        if let Some(own) = taken.by_uid.get_mut(&self.uid) {
            *own -= 1;
            if *own == 0 {
                taken.by_uid.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(shares: &Arc<Shares>, uid: u32) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(uid).ok()).collect()
    }

    #[test]
    fn whoever_comes_later_finds_some_left() {
        let shares = Shares::new(1000);
        let first = take_all(&shares, 1);
        let second = take_all(&shares, 2);
        let third = take_all(&shares, 3);
        assert!((490..=510).contains(&first.len()), "{}", first.len());
        assert!((240..=260).contains(&second.len()), "{}", second.len());
        assert!((120..=130).contains(&third.len()), "{}", third.len());
        assert!(take_all(&shares, 0).len() > 100, "root");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let shares = Shares::new(100);
        let first = take_all(&shares, 1).len();
        assert_eq!(take_all(&shares, 1).len(), first);
        assert!(shares.taken.lock().by_uid.is_empty());
    }
}
