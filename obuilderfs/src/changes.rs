//! Changes behind a shared mount, made by whoever writes to a home directly.
//!
//! The kernel may keep names and attributes of a shared view only if it hears of every such change in time. The
//! file systems below tell of changes before the system call that made one returns ([`Watch`]). So when a path
//! is looked up from the mount point, which always asks us, everything that happened before is in the queue:
//! it is passed on to the kernel before the look-up is answered, and the path is walked with fresh eyes. For
//! paths that do not start at the mount point the queue is followed all the time, a moment behind.
//!
//! Passing on may have to wait for a directory's lock, which a process can hold while it waits for us. It is
//! done by a thread of its own, and look-ups wait for it only for [`PATIENCE`].
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex};
use tracing::{debug, info};

use crate::platform::{Change, Watch};

/// How long a look-up waits for changes to reach the kernel. Longer only if the directory that changed is being
/// worked on right now, and then for ever if that work waits for the look-up.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the queue is left alone after it was followed, so that a busy file system does not keep us busy.
const REST: u16 = 5;

/// The queue of changes and who waits for it.
#[derive(Debug)]
pub(crate) struct Changes {
    watch: Option<Watch>,
    enabled: AtomicBool,
    /// What this process does counts too: see [`Changes::mind_own`].
    own: Arc<AtomicBool>,
    batches: Mutex<Batches>,
    passed_on: Condvar,
    /// Wakes the thread that follows.
    wake: (OwnedFd, OwnedFd),
}

/// Changes read but not passed on, and how many lots of them were begun and finished.
#[derive(Debug, Default)]
struct Batches {
    waiting: Vec<Change>,
    begun: u64,
    done: u64,
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

    /// Waits until the kernel knows of every change made before this call.
    pub(crate) fn settle(&self) {
        let Some(watch) = &self.watch else { return };
        let mut batches = self.batches.lock();
        watch.drain(self.own.load(Ordering::Relaxed), |change| batches.waiting.push(change));
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

    /// Passes every change to `tell`, for as long as the process lives.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn follow(self: &Arc<Self>, tell: impl Fn(&Change) + Send + 'static) -> io::Result<()> {
        if self.watch.is_none() {
            return Ok(());
        }
        let changes = Arc::clone(self);
        let body = move || {
            while changes.wait().is_ok() {
                changes.pass_on(&tell);
            }
        };
        std::thread::Builder::new().name("changes".to_owned()).spawn(body).map(drop)
    }

    /// Waits for a change or for somebody who waits for one.
    fn wait(&self) -> Result<(), Errno> {
        let Some(watch) = &self.watch else { return Err(Errno::ENOENT) };
        let wake = || PollFd::new(self.wake.0.as_fd(), PollFlags::POLLIN);
        let events = PollFd::new(watch.fd(), PollFlags::POLLIN);
        if poll(&mut [wake()], PollTimeout::from(REST)).unwrap_or(0) == 0 {
            poll(&mut [wake(), events], PollTimeout::NONE)
                .or_else(|e| if e == Errno::EINTR { Ok(0) } else { Err(e) })?;
        }
        while matches!(nix::unistd::read(&self.wake.0, &mut [0; 64]), Ok(64)) {}
        Ok(())
    }

    fn pass_on(&self, tell: &impl Fn(&Change)) {
        let Some(watch) = &self.watch else { return };
        let (lot, number) = {
            let mut batches = self.batches.lock();
            watch.drain(self.own.load(Ordering::Relaxed), |change| batches.waiting.push(change));
            batches.begun += 1;
            (std::mem::take(&mut batches.waiting), batches.begun)
        };
        lot.iter().for_each(tell);
        self.batches.lock().done = number;
        self.passed_on.notify_all();
    }
}
