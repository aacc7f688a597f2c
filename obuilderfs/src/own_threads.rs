//! The daemon's own threads. If one of them asked the mount for something, it would wait for an answer that
//! only the daemon can give.
use std::cell::Cell;
use std::collections::HashSet;

use nix::errno::Errno;
use parking_lot::RwLock;

use crate::platform;

thread_local! {
    static KNOWN: Cell<bool> = const { Cell::new(false) };
}

/// The ids of the threads that answer requests.
#[derive(Debug, Default)]
pub(crate) struct OwnThreads(RwLock<HashSet<u32>>);

impl OwnThreads {
    /// Notes the thread this runs on, and checks the request of `pid`.
    ///
    /// # Errors
    /// `ELOOP` if `pid` is one of ours.
    pub(crate) fn refuse_own(&self, pid: u32) -> Result<(), Errno> {
        if !KNOWN.replace(true) {
            self.0.write().insert(platform::thread_id());
        }
        if self.0.read().contains(&pid) { Err(Errno::ELOOP) } else { Ok(()) }
    }
}
