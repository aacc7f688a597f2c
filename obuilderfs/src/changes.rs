//! Changes behind a shared mount, made by whoever writes to a home directly.
//!
//! The kernel may keep names and attributes of a shared view only if it hears of every such change in time. The
//! file systems below tell of changes before the system call that made one returns ([`Watch`]). So when a path
//! is looked up from the mount point, which always asks us, everything that happened before is in the queue:
//! it is passed on to the kernel before the look-up is answered, and the path is walked with fresh eyes. For
//! paths that do not start at the mount point the queue is followed all the time, a moment behind.
//!
//! To pass a name on may have to wait for a directory's lock, which a process can hold while it waits for us. It is
//! done by a thread of its own, and look-ups wait for it only for [`PATIENCE`]. Most changes are not of names, or
//! concern nothing that the kernel knows: those are dealt with where they are read.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex};
use tracing::{debug, info};

use crate::platform::{Change, Watch};

/// How long a look-up waits for changes to reach the kernel. Longer only if the directory that changed is being
/// worked on right now, and then for ever if that work waits for the look-up.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it waits for another one that reads the queue. That one tells the kernel of objects, which takes long only
/// if the kernel is letting go of an object whose bytes it has asked us for, and then until somebody answers.
const STUCK: Duration = Duration::from_secs(1);
/// How long a change is told again and again to the kernel, which does not know yet of what has changed.
const AT_LAST: Duration = Duration::from_secs(5);
/// How long the queue is left alone after it was followed, so that a busy file system does not keep us busy.
const REST: u16 = 5;

/// The queue of changes and who waits for it.
#[derive(Debug)]
pub(crate) struct Changes {
    watch: Option<Watch>,
    enabled: AtomicBool,
    /// What this process does counts too: see [`Changes::mind_own`].
    own: Arc<AtomicBool>,
    /// How often reading the queue was begun.
    reads: AtomicU64,
    /// How often something was found in it.
    lots: AtomicU64,
    batches: Mutex<Batches>,
    passed_on: Condvar,
    /// Wakes the thread that follows.
    wake: (OwnedFd, OwnedFd),
}

/// Changes read but not passed on, and how many lots of them were begun and finished.
#[derive(Debug, Default)]
struct Batches {
    /// Which reading of the queue was the last.
    read: u64,
    waiting: Vec<Untold>,
    begun: u64,
    done: u64,
}

/// A change that the kernel does not know of yet.
#[derive(Debug)]
pub(crate) struct Untold {
    pub(crate) change: Change,
    /// We made it, for one view; the kernel has to be told for others.
    pub(crate) own: bool,
    /// When it was read.
    since: Instant,
}

impl Changes {
    /// A queue, or one that is always empty unless `wanted` and possible.
    ///
    /// # Errors
    /// As `pipe(2)`.
    pub(crate) fn new(wanted: bool) -> Result<Self, Errno> {
        let watch = if wanted {
            Watch::new()
                .inspect_err(|e| info!("changes behind the mount cannot be followed: {}", e.desc()))
                .ok()
        } else {
            None
        };
        Ok(Self {
            enabled: AtomicBool::new(watch.is_some()),
            watch,
            own: Arc::default(),
            reads: AtomicU64::new(0),
            lots: AtomicU64::new(0),
            batches: Mutex::default(),
            passed_on: Condvar::new(),
            wake: crate::platform::wake_pipe()?,
        })
    }

    /// The kernel cannot be told: it may keep nothing.
    pub(crate) fn disable(&self) {
        self.enabled.store(false, Ordering::Relaxed);
    }

    /// As long as `own` is set, what this process does is a change like any other: what is done in one view has
    /// to become known to another view of the same tree. Otherwise the kernel knows it already.
    pub(crate) fn mind_own(&mut self, own: Arc<AtomicBool>) {
        self.own = own;
    }

    /// Begins to watch the file system that holds `object`. Says whether it can be watched.
    pub(crate) fn cover(&self, object: BorrowedFd<'_>) -> bool {
        let Some(watch) = self.watch.as_ref().filter(|_| self.enabled.load(Ordering::Relaxed)) else {
            return false;
        };
        let added = watch.add(object);
        if let Err(e) = added {
            debug!("changes on this file system are not told, so the kernel keeps nothing: {}", e.desc());
        }
        added.is_ok()
    }

    /// Whether there is a queue.
    pub(crate) fn are_followed(&self) -> bool {
        self.watch.is_some()
    }

    /// How often something was read from the queue. Whoever finds the same number before and after it has noted an
    /// object can be sure that no change of it was passed over in between.
    pub(crate) fn lots(&self) -> u64 {
        self.lots.load(Ordering::SeqCst)
    }

    /// There was a change that nobody told of.
    pub(crate) fn pass_over(&self) {
        self.lots.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until the kernel knows of every change made before this call. `at_once` deals with a change without
    /// waiting for anybody, if it can, and says whether it could; it is told whether the kernel knows of the change.
    pub(crate) fn settle(&self, at_once: impl Fn(&Change, bool) -> bool) {
        let Some(watch) = &self.watch else { return };
        let begun = self.reads.load(Ordering::SeqCst);
        let Some(mut batches) = self.batches.try_lock_for(STUCK) else {
            debug!("changes cannot be read");
            return;
        };
        // Who read the queue while we waited for the lock has most often seen what we have to see.
        if batches.read <= begun {
            self.read(watch, &mut batches, &at_once);
        }
        let target = match (batches.waiting.is_empty(), batches.begun == batches.done) {
            (true, true) => return,
            (true, false) => batches.begun,
            (false, _) => batches.begun + 1,
        };
        let _ = nix::unistd::write(&self.wake.1, &[0]);
        let until = Instant::now() + PATIENCE;
        while batches.done < target {
            if self.passed_on.wait_until(&mut batches, until).timed_out() {
                debug!("changes are slow to reach the kernel");
                return;
            }
        }
    }

    /// Reads what is in the queue. What cannot be dealt with at once has to wait.
    fn read(&self, watch: &Watch, batches: &mut Batches, at_once: &impl Fn(&Change, bool) -> bool) {
        let number = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        let begin = || _ = self.lots.fetch_add(1, Ordering::SeqCst);
        watch.drain(begin, |change, own| {
            if !at_once(&change, own && !self.own.load(Ordering::Relaxed)) {
                batches.waiting.push(Untold { change, own, since: Instant::now() });
            }
        });
        batches.read = number;
    }

    /// Waits for a change or for somebody who waits for one.
    ///
    /// # Errors
    /// As `poll(2)`; `ENOENT` if changes cannot be followed.
    pub(crate) fn wait(&self) -> Result<(), Errno> {
        let Some(watch) = &self.watch else { return Err(Errno::ENOENT) };
        let wake = || PollFd::new(self.wake.0.as_fd(), PollFlags::POLLIN);
        let events = PollFd::new(watch.fd(), PollFlags::POLLIN);
        let rested = poll(&mut [wake()], PollTimeout::from(REST)).unwrap_or(0) == 0;
        if rested && self.batches.lock().waiting.is_empty() {
            poll(&mut [wake(), events], PollTimeout::NONE)
                .or_else(|e| if e == Errno::EINTR { Ok(0) } else { Err(e) })?;
        }
        while matches!(nix::unistd::read(&self.wake.0, &mut [0; 64]), Ok(64)) {}
        Ok(())
    }

    /// Passes every change there is to `at_once`, or else to `tell`, which may try until the time it is given and says
    /// whether the kernel knows of the change. If not, it is told again with those that come next.
    pub(crate) fn pass_on(
        &self,
        at_once: impl Fn(&Change, bool) -> bool,
        tell: impl Fn(&Untold, Instant) -> bool,
    ) {
        let Some(watch) = &self.watch else { return };
        let (lot, number) = {
            let mut batches = self.batches.lock();
            self.read(watch, &mut batches, &at_once);
            batches.begun += 1;
            (std::mem::take(&mut batches.waiting), batches.begun)
        };
        let until = Instant::now() + PATIENCE;
        let stays = |untold: &Untold| !tell(untold, until) && untold.since.elapsed() < AT_LAST;
        let untold: Vec<Untold> = lot.into_iter().filter(stays).collect();
        let mut batches = self.batches.lock();
        batches.waiting.extend(untold);
        batches.done = number;
        self.passed_on.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_does_not_wait_for_ever_for_another_that_reads_the_queue() {
        let changes = Changes::new(true).unwrap();
        if !changes.are_followed() {
            assert!(std::env::var_os("CI").is_none(), "needs root and fanotify");
            eprintln!("skipped: a_look_up_does_not_wait_for_ever_for_another_that_reads_the_queue");
            return;
        }
        let reads = changes.batches.lock();
        let settled = std::thread::scope(|scope| scope.spawn(|| changes.settle(|_, _| true)).join());
        assert!(settled.is_ok());
        drop(reads);
    }

    #[test]
    fn what_the_kernel_could_not_be_told_is_told_again() {
        let dir = tempfile::tempdir().unwrap();
        let changes = Changes::new(true).unwrap();
        let watched = std::fs::File::open(dir.path()).unwrap();
        if !changes.cover(watched.as_fd()) {
            assert!(std::env::var_os("CI").is_none(), "needs root and a file system that can be watched");
            eprintln!("skipped: what_the_kernel_could_not_be_told_is_told_again");
            return;
        }
        std::fs::write(dir.path().join("made"), "").unwrap();
        let told = |knows: bool| {
            let made = std::cell::Cell::new(0);
            let tell = |untold: &Untold, _| {
                let is_made = matches!(&untold.change, Change::Name(_, name) if name == "made");
                made.set(made.get() + usize::from(is_made));
                knows || !is_made
            };
            changes.pass_on(|_, _| false, tell);
            made.get()
        };
        assert_eq!([told(false), told(false), told(true), told(true)], [1, 1, 1, 0]);
    }
}
