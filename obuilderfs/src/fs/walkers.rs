//! Who goes through directories, and whether it is for more than the names.
//!
//! With a listing the kernel can be told of each entry what a look-up would tell it (`FUSE_READDIRPLUS`). That
//! saves one request for each entry that is looked up afterwards, and costs about a third of one for each that is
//! not. So entries are looked up in advance for those who looked up most of what they were listed before.
use std::collections::HashMap;

use parking_lot::Mutex;

/// As many tasks are remembered at once.
const TASKS: usize = 128;
/// Less was listed to a task: it is not known yet.
const FEW: u32 = 8;
/// More was listed: the past counts half from here on.
const MANY: u32 = 1024;
/// After so many listings with look-ups comes one without, to see whether they are still wanted.
const TRUSTED: u8 = 128;

/// What tasks did with what they were listed, by their ids.
#[derive(Debug, Default)]
pub(super) struct Walkers(Mutex<HashMap<u32, Walker>>);

#[derive(Debug, Default)]
struct Walker {
    /// Files listed by their names alone.
    listed: u32,
    /// How many were looked up after that.
    looked_up: u32,
    /// Listings with look-ups since the last without.
    trusted: u8,
}

impl Walkers {
    /// Whether the entries of a directory that `task` begins or goes on to list are worth looking up.
    pub(super) fn wants_look_ups(&self, task: u32) -> bool {
        self.0.lock().get_mut(&task).is_some_and(Walker::wants_look_ups)
    }

    /// `files`, directories aside, were listed to `task` by their names.
    pub(super) fn listed(&self, task: u32, files: u32) {
        let mut walkers = self.0.lock();
        if walkers.len() >= TASKS && !walkers.contains_key(&task) {
            walkers.clear();
        }
        let walker = walkers.entry(task).or_default();
        walker.listed += files;
        if walker.listed > MANY {
            walker.listed /= 2;
            walker.looked_up /= 2;
        }
    }

    /// `task` has looked a file up.
    pub(super) fn looked_up(&self, task: u32) {
        if let Some(walker) = self.0.lock().get_mut(&task)
            // Only what was listed before: whoever knows the names already gains nothing.
            && walker.looked_up < walker.listed
        {
            walker.looked_up += 1;
        }
    }
}

impl Walker {
    fn wants_look_ups(&mut self) -> bool {
        if self.listed < FEW || self.looked_up < self.listed / 2 {
            return false;
        }
        self.trusted += 1;
        if self.trusted > TRUSTED {
            *self = Self::default();
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(walkers: &Walkers, task: u32, times: u32) {
        (0..times).for_each(|_| walkers.looked_up(task));
    }

    #[test]
    fn who_looks_up_what_it_was_listed_is_spared_it_from_the_next_listing_on() {
        let walkers = Walkers::default();
        assert!(!walkers.wants_look_ups(7));
        walkers.listed(7, 20);
        look_up(&walkers, 7, 20);
        assert!(walkers.wants_look_ups(7));
        assert!(!walkers.wants_look_ups(8), "another task");
    }

    #[test]
    fn who_reads_names_alone_or_knew_them_before_gets_names() {
        let walkers = Walkers::default();
        look_up(&walkers, 7, 1000);
        walkers.listed(7, 100);
        look_up(&walkers, 7, 10);
        assert!(!walkers.wants_look_ups(7));
    }

    #[test]
    fn a_habit_is_looked_at_again_from_time_to_time() {
        let walkers = Walkers::default();
        walkers.listed(7, 20);
        look_up(&walkers, 7, 20);
        let listings = (0..1000).take_while(|_| walkers.wants_look_ups(7)).count();
        assert_eq!(listings, usize::from(TRUSTED));
        walkers.listed(7, 20);
        assert!(!walkers.wants_look_ups(7), "it has changed");
    }

    #[test]
    fn however_many_come_few_are_remembered() {
        let walkers = Walkers::default();
        (0..10_000).for_each(|task| walkers.listed(task, 1));
        assert!(walkers.0.lock().len() <= TASKS);
    }
}
