//! One object of one view.
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Where;
use crate::backing::{self, Handle, HandleKey, Stat};
use crate::view::View;

/// One object of one view.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) view: Arc<View>,
    pub(super) handle: Option<Handle>,
    pub(super) lookups: AtomicU64,
    pub(super) fd: Mutex<Option<Arc<OwnedFd>>>,
    /// It can be found by what is told of changes.
    told: bool,
    /// The descriptor must stay: there is no other way to the object.
    pub(super) pinned: AtomicBool,
    pub(super) used: AtomicBool,
    /// Open files through which it can be mapped for writing.
    mappers: AtomicU32,
    /// Open files and directories.
    opens: AtomicU32,
    /// A file that can be mapped was closed, and a mapping may have stayed.
    left_mapped: AtomicBool,
    /// The kernel may keep a name of it below the root.
    pub(super) kept: AtomicBool,
    /// It was found in the root, where no name may be kept.
    pub(super) in_root: AtomicBool,
    /// The object has another node now.
    pub(super) outdated: AtomicBool,
    /// The kernel may keep bytes of it, or its listing.
    cached: AtomicBool,
}

impl Node {
    /// A node with that id in that view for the object that `anchor` holds, counted once.
    pub(super) fn new(
        (id, view): (u64, &Arc<View>),
        (handle, anchor): (Option<Handle>, OwnedFd),
        (pinned, told): (bool, bool),
    ) -> Self {
        Self {
            id,
            view: Arc::clone(view),
            handle,
            lookups: AtomicU64::new(1),
            fd: Mutex::new(Some(Arc::new(anchor))),
            told,
            pinned: AtomicBool::new(pinned),
            used: AtomicBool::new(false),
            mappers: AtomicU32::new(0),
            opens: AtomicU32::new(0),
            left_mapped: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            in_root: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            cached: AtomicBool::new(false),
        }
    }

    /// Whether its names may be kept, those in the root aside.
    pub(crate) fn may_be_kept(&self) -> bool {
        !self.is_in_root()
    }

    /// The kernel may keep bytes of it from now on, or its listing.
    pub(crate) fn note_cached(&self) {
        self.cached.store(true, Ordering::Release);
    }

    /// Whether the kernel may keep bytes of it, or its listing.
    pub(crate) fn is_cached(&self) -> bool {
        self.cached.load(Ordering::Acquire)
    }

    /// Whether the object has another node, through which it may change without a word to this one.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// Whether it was found in the root before, and can be used there still: see [`Node::found`].
    pub(super) fn is_first(&self, is_dir: bool) -> bool {
        let kept = self.kept.load(Ordering::Relaxed);
        self.is_in_root() && !(is_dir && kept) && !self.is_outdated()
    }

    /// Notes where a look-up has found it. In the root a directory must not be one that is kept under a name
    /// below: the kernel has one entry for a directory, and moves it. Says whether the node can be used.
    pub(super) fn found(&self, place: Where, is_dir: bool) -> bool {
        match place {
            Where::Root if is_dir && self.kept.load(Ordering::Relaxed) => {
                self.outdated.store(true, Ordering::Relaxed);
            }
            Where::Root => self.in_root.store(true, Ordering::Relaxed),
            Where::Kept if self.may_be_kept() => self.kept.store(true, Ordering::Relaxed),
            Where::Kept | Where::Asked | Where::Nowhere => {}
        }
        !self.is_outdated()
    }

    /// It is opened.
    pub(crate) fn opened(&self) {
        self.opens.fetch_add(1, Ordering::SeqCst);
    }

    /// What was open is closed.
    pub(crate) fn closed(&self) {
        self.opens.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether somebody has it open through the mount.
    pub(crate) fn is_open(&self) -> bool {
        self.opens.load(Ordering::SeqCst) > 0
    }

    /// Whether it was found in the root.
    pub(crate) fn is_in_root(&self) -> bool {
        self.in_root.load(Ordering::Relaxed)
    }

    /// It was opened so that it can be mapped for writing.
    pub(crate) fn opened_for_mapping(&self) {
        self.mappers.fetch_add(1, Ordering::Relaxed);
    }

    /// Such an open file is gone. Its mappings are not, if the kernel reads and writes the file by itself.
    pub(crate) fn closed_for_mapping(&self) {
        self.left_mapped.store(true, Ordering::Release);
        self.mappers.fetch_sub(1, Ordering::Release);
    }

    /// Whether somebody may be writing to it through memory, of which nobody is told.
    pub(crate) fn may_be_mapped(&self) -> bool {
        self.mappers.load(Ordering::Acquire) > 0 || self.left_mapped.load(Ordering::Acquire)
    }

    /// Finds out whether a mapping has stayed, where one may have: `is_written` says whether anybody can write to
    /// the file at all. True if the last one is gone since this was asked.
    pub(crate) fn lost_mappings(&self, is_written: impl FnOnce() -> bool) -> bool {
        // Taken away first: whoever closes it while we ask sets it again.
        if self.mappers.load(Ordering::Acquire) > 0 || !self.left_mapped.swap(false, Ordering::AcqRel) {
            return false;
        }
        let stays = is_written();
        if stays {
            self.left_mapped.store(true, Ordering::Release);
        }
        !stays
    }

    /// Where the object lies: a number for the mount, or for the view where mounts cannot be told apart.
    pub(crate) fn volume(&self) -> u64 {
        let by_view = || 1 << 32 | u64::from(self.view.index());
        self.handle.as_ref().map_or_else(by_view, |handle| u64::from(handle.mount().cast_unsigned()))
    }

    /// Whether this is the object with that handle. Without handles the node's descriptor keeps the object, and
    /// with it the number, from being used again.
    pub(super) fn is(&self, stat: &Stat, handle: Option<&Handle>) -> bool {
        if self.handle.is_some() || handle.is_some() {
            return self.handle.as_ref() == handle;
        }
        let fd = self.fd.lock().clone();
        let own = fd.and_then(|fd| backing::stat(fd.as_fd()).ok());
        own.is_some_and(|own| (own.dev, own.ino) == (stat.dev, stat.ino))
    }

    /// The inode number as changes of the object tell it.
    pub(super) fn number(&self) -> Option<u64> {
        self.key()?.inode()
    }

    /// By what changes of the object are told.
    pub(crate) fn key(&self) -> Option<HandleKey> {
        self.handle.as_ref().map(Handle::key)
    }

    pub(super) fn has_key(&self, key: &HandleKey) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.has_key(key))
    }

    /// Whether changes of the object by others become known: then the kernel may keep what it was told.
    pub(crate) fn is_covered(&self) -> bool {
        self.told && self.handle.as_ref().is_some_and(|handle| self.view.covers(handle))
    }

    /// Whether it was used since this was asked last.
    pub(super) fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// Gives the descriptor up, unless it must stay.
    pub(super) fn close(&self) {
        let mut fd = self.fd.lock();
        if !self.pinned.load(Ordering::Relaxed) {
            *fd = None;
        }
    }
}
