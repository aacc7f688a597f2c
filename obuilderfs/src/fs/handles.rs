//! Open files and directory streams, by the number the kernel was given for each.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use parking_lot::RwLock;

/// Things that are open.
#[derive(Debug)]
pub(super) struct Handles<T> {
    open: RwLock<HashMap<u64, Arc<T>>>,
    last: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { open: RwLock::default(), last: AtomicU64::new(0) }
    }
}

impl<T> Handles<T> {
    pub(super) fn insert(&self, thing: Arc<T>) -> u64 {
        let handle = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.write().insert(handle, thing);
        handle
    }

    /// # Errors
    /// `EBADF` if the kernel was given no such handle.
    pub(super) fn get(&self, handle: u64) -> Result<Arc<T>, Errno> {
        self.open.read().get(&handle).cloned().ok_or(Errno::EBADF)
    }

    pub(super) fn len(&self) -> usize {
        self.open.read().len()
    }

    /// Whether one of them is such that `is` holds.
    pub(super) fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.open.read().values().any(|thing| is(thing))
    }

    pub(super) fn remove(&self, handle: u64) -> Option<Arc<T>> {
        self.open.write().remove(&handle)
    }
}
