//! Kernel passthrough: the kernel reads, writes and maps a file below by itself.
//!
//! An inode that is open in passthrough must not be open through the daemon at the same time, nor under a
//! second backing id (`fuse_file_io_open` in `fs/fuse/iomode.c` answers `EIO`), so the first open decides for
//! all that overlap it.
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::BackingId;
use parking_lot::Mutex;
use tracing::debug;

use crate::fs::OpenFile;

/// What is open, and how.
#[derive(Debug)]
pub(super) struct Passthrough {
    enabled: AtomicBool,
    inodes: Mutex<Inodes>,
}

#[derive(Debug, Default)]
struct Inodes {
    open: HashMap<u64, OpenInode>,
    /// Volumes whose files the kernel does not take: those of stacked file systems.
    refused: HashSet<u64>,
}

#[derive(Debug)]
struct OpenInode {
    /// `None`: through the daemon.
    backing: Option<Arc<BackingId>>,
    opens: usize,
}

impl Passthrough {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled: AtomicBool::new(enabled), inodes: Mutex::default() }
    }

    /// The kernel cannot do it.
    pub(super) fn disable(&self) {
        self.enabled.store(false, Ordering::Relaxed);
    }

    /// Counts the open of `file` and gives the backing id to answer with; `None` to serve it through the daemon.
    /// All opens share the first one's registration, and with it the rights that the kernel writes with.
    pub(super) fn opened(
        &self,
        file: &OpenFile,
        register: impl FnOnce() -> io::Result<BackingId>,
    ) -> Option<Arc<BackingId>> {
        if !self.enabled.load(Ordering::Relaxed) {
            return None;
        }
        let (node, volume) = (file.node.id, file.node.volume());
        let mut inodes = self.inodes.lock();
        if let Some(inode) = inodes.open.get_mut(&node) {
            inode.opens += 1;
            return inode.backing.clone();
        }
        let backing = if inodes.refused.contains(&volume) {
            None
        } else {
            inodes.register(volume, || file.hand_over(|| Ok(register()))?)
        };
        inodes.open.insert(node, OpenInode { backing: backing.clone(), opens: 1 });
        backing
    }

    /// An open file of `node` is gone.
    pub(super) fn released(&self, node: u64) {
        let mut inodes = self.inodes.lock();
        let Some(inode) = inodes.open.get_mut(&node) else { return };
        inode.opens -= 1;
        if inode.opens == 0 {
            inodes.open.remove(&node);
        }
    }
}

impl Inodes {
    fn register(
        &mut self,
        volume: u64,
        register: impl FnOnce() -> io::Result<BackingId>,
    ) -> Option<Arc<BackingId>> {
        match register() {
            Ok(backing) => Some(Arc::new(backing)),
            Err(e) => {
                // A stacked file system never will; want of memory or descriptors passes.
                if matches!(e.raw_os_error(), Some(libc::ELOOP | libc::EOPNOTSUPP | libc::EPERM)) {
                    self.refused.insert(volume);
                }
                debug!(volume, "no passthrough: {e}");
                None
            }
        }
    }
}
