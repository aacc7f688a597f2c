//! The threads that clone one tree: the first begins alone, as most trees are done before another is started.
//!
//! A thread that has nothing to do asks for more, and whoever meets the next directory leaves it to that one. So
//! no more directories wait than threads do, whatever the tree is like.
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, Scope};

use parking_lot::{Condvar, Mutex};

use super::super::TransferError;
use super::super::interrupt;
use super::super::system::Reflink;
use super::{Cloning, Whole};

/// How many threads clone a tree. More wait for each other: a file system changes one directory at a time.
const THREADS: usize = 4;

/// How many entries the first thread clones before it calls the others: below that, to start them takes longer.
const ALONE: usize = 512;

/// How many helpers there may be in the whole process, whatever the number of trees: each has directories open.
const MOST_HELPERS: usize = 9;

static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// A directory to clone, and the one made for it.
pub(super) struct Portion {
    pub(super) source: OwnedFd,
    pub(super) target: OwnedFd,
    /// Where it lies below both roots.
    pub(super) path: Vec<u8>,
    /// What is known of the file system.
    pub(super) reflink: Reflink,
}

#[derive(Default)]
pub(super) struct Crew {
    /// How many directories could be worked on besides those that are or wait to be.
    wanted: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Portion>,
    /// How many threads work.
    busy: usize,
    over: bool,
    error: Option<TransferError>,
}

impl Crew {
    /// Clones `first` and all below it, with the help of others if it is large.
    pub(super) fn work<'scope, 'env>(
        &self,
        whole: &'env Whole<'env>,
        first: Portion,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Result<(), TransferError> {
        self.state.lock().busy = 1;
        self.clone(whole, first, |entries| {
            if entries == ALONE {
                hire(whole, scope);
            }
        });
        self.help(whole);
        let error = self.state.lock().error.take();
        error.map_or(Ok(()), Err)
    }

    /// Whether somebody waits for a directory; who is told so must give one.
    pub(super) fn wants_more(&self) -> bool {
        let taken = self.wanted.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| n.checked_sub(1));
        taken.is_ok()
    }

    /// Leaves a directory to whoever waits.
    pub(super) fn give(&self, portion: Portion) {
        self.state.lock().waiting.push(portion);
        self.changed.notify_one();
    }

    /// Works on what others leave, until all is done.
    fn help<'a>(&self, whole: &'a Whole<'a>) {
        while let Some(portion) = self.next() {
            self.clone(whole, portion, |_| ());
        }
    }

    /// Clones `portion`, as long as no other thread has failed. Tells `counted` the number of each entry.
    fn clone<'a>(&self, whole: &'a Whole<'a>, portion: Portion, mut counted: impl FnMut(usize)) {
        let _busy = Busy(self);
        let mut entries = 0_usize;
        let done = Cloning::new(whole, portion).run(|| {
            entries += 1;
            counted(entries);
            !entries.is_multiple_of(64) || !self.state.lock().over
        });
        if let Err(error) = done {
            let mut state = self.state.lock();
            state.over = true;
            state.error.get_or_insert(error);
        }
    }

    fn next(&self) -> Option<Portion> {
        self.wanted.fetch_add(1, Ordering::AcqRel);
        let mut state = self.state.lock();
        loop {
            if state.over {
                return None;
            }
            if let Some(portion) = state.waiting.pop() {
                state.busy += 1;
                return Some(portion);
            }
            if state.busy == 0 {
                state.over = true;
                self.changed.notify_all();
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// A thread that works, for as long as this lives: nobody waits for one that died.
struct Busy<'a>(&'a Crew);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.busy -= 1;
        if state.over || state.busy == 0 {
            self.0.changed.notify_all();
        }
    }
}

/// Starts helpers. Where none can be started, the first goes on alone.
fn hire<'scope, 'env>(whole: &'env Whole<'env>, scope: &'scope Scope<'scope, 'env>) {
    for _ in 1..THREADS {
        let place = Place::take();
        let Some(place) = place else { return };
        let unwanted = interrupt::current();
        let helper = move || {
            let _place = place;
            interrupt::as_wanted(unwanted, || whole.crew.help(whole));
        };
        if Builder::new().name("clone".to_owned()).spawn_scoped(scope, helper).is_err() {
            return;
        }
    }
}

/// One of the [`MOST_HELPERS`].
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let one_more = |n| (n < MOST_HELPERS).then_some(n + 1);
        HELPERS.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::AcqRel);
    }
}
