//! Node ids: which object of which view the kernel means.
//!
//! A node lives as long as the kernel counts look-ups of it. It costs no descriptor: it holds a file handle,
//! and a descriptor only while it was used of late ([`recent`]) or its last name is gone. Where the file system
//! below gives no handles, it holds a descriptor.
//!
//! There may be millions, so a node is small: its id tells view and inode number, and only objects for which it
//! cannot are kept in a table of their own.
//!
//! Lock order: the table, then a node's descriptor, then the recently used.
mod recent;
mod table;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use parking_lot::{Mutex, RwLock};

use self::recent::Recent;
use self::table::Table;
use crate::backing::{self, Handle, HandleKey, Stat};
use crate::view::View;

/// The node every mount starts with, shared by all.
pub(crate) const ROOT: u64 = 1;
/// `.obuilderfs`, where private views are entered.
pub(crate) const CONTROL: u64 = 2;

/// Bits of a node id that hold the object's inode number; the view's number stands above them.
const INODE_BITS: u32 = 44;
/// Set in ids that are merely counted, for objects whose number does not fit or is taken.
const COUNTED: u64 = 1 << 63;

/// Where a look-up finds an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// Under a name in the root, which the kernel asks for each time.
    Root,
    /// Under a name that the kernel may keep.
    Kept,
    /// Under one that it may not.
    Asked,
    /// Under none: it was made without.
    Nowhere,
}

/// One object of one view.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) view: Arc<View>,
    handle: Option<Handle>,
    lookups: AtomicU64,
    fd: Mutex<Option<Arc<OwnedFd>>>,
    /// The descriptor must stay: there is no other way to the object.
    pinned: AtomicBool,
    used: AtomicBool,
    /// Open files through which it can be mapped for writing.
    mappers: AtomicU32,
    /// One of them was closed, and a mapping may have stayed.
    left_mapped: AtomicBool,
    /// The kernel may keep a name of it below the root.
    kept: AtomicBool,
    /// It was found in the root, where no name may be kept.
    in_root: AtomicBool,
    /// The object has another node now.
    outdated: AtomicBool,
}

impl Node {
    /// Whether its names may be kept, those in the root aside.
    pub(crate) fn may_be_kept(&self) -> bool {
        !self.in_root.load(Ordering::Relaxed)
    }

    /// Whether the object has another node, through which it may change without a word to this one.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// Notes where a look-up has found it. In the root a directory must not be one that is kept under a name
    /// below: the kernel has one entry for a directory, and moves it. Says whether the node can be used.
    fn found(&self, place: Where, is_dir: bool) -> bool {
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
    fn is(&self, stat: &Stat, handle: Option<&Handle>) -> bool {
        if self.handle.is_some() || handle.is_some() {
            return self.handle.as_ref() == handle;
        }
        let fd = self.fd.lock().clone();
        let own = fd.and_then(|fd| backing::stat(fd.as_fd()).ok());
        own.is_some_and(|own| (own.dev, own.ino) == (stat.dev, stat.ino))
    }

    fn has_key(&self, key: &HandleKey) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.has_key(key))
    }

    /// Whether changes of the object by others become known: then the kernel may keep what it was told.
    pub(crate) fn is_covered(&self) -> bool {
        self.id & COUNTED == 0 && self.handle.as_ref().is_some_and(|handle| self.view.covers(handle))
    }

    /// Whether it was used since this was asked last.
    fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// Gives the descriptor up, unless it must stay.
    fn close(&self) {
        let mut fd = self.fd.lock();
        if !self.pinned.load(Ordering::Relaxed) {
            *fd = None;
        }
    }
}

/// All nodes the kernel knows.
#[derive(Debug)]
pub(crate) struct Nodes {
    table: RwLock<Table>,
    recent: Recent,
}

/// The id an object has unless it is taken; a directory listing shows the same number.
pub(crate) fn usual_id(view: &View, ino: u64) -> u64 {
    let view = u64::from(view.index()) << INODE_BITS;
    // Numbers that do not fit are folded: such an object gets a counted id when it is looked up.
    view | (ino & ((1 << INODE_BITS) - 1))
}

impl Nodes {
    /// Keeps at most `descriptors` of recently used nodes.
    pub(crate) fn new(descriptors: usize) -> Self {
        Self { table: RwLock::default(), recent: Recent::new(descriptors) }
    }

    /// The node `id`.
    ///
    /// # Errors
    /// `ESTALE` if the kernel was never told of it.
    pub(crate) fn get(&self, id: u64) -> Result<Arc<Node>, Errno> {
        self.table.read().get(id).cloned().ok_or(Errno::ESTALE)
    }

    /// The node of the object `anchor` holds in `view`, counted once more. `place`: where it was found.
    ///
    /// # Errors
    /// The object cannot be asked for its handle.
    pub(crate) fn found(
        &self,
        view: &Arc<View>,
        anchor: OwnedFd,
        stat: &Stat,
        place: Where,
    ) -> Result<Arc<Node>, Errno> {
        let handle = self.usable_handle(view, &anchor, stat)?;
        // Under the exclusive lock, so nobody finds it elsewhere meanwhile.
        let mut table = self.table.write();
        let known = table.known(view, stat, handle.as_ref());
        if let Some(node) = known.filter(|node| node.found(place, stat.is_dir())) {
            node.lookups.fetch_add(1, Ordering::Relaxed);
            return Ok(Arc::clone(node));
        }
        let in_root = place == Where::Root || known.is_some() || table.is_leaving(view, stat);
        let pinned = handle.is_none() || place == Where::Nowhere;
        let node = Arc::new(Node {
            id: table.new_id(view, stat),
            view: Arc::clone(view),
            handle,
            lookups: AtomicU64::new(1),
            fd: Mutex::new(Some(Arc::new(anchor))),
            pinned: AtomicBool::new(pinned),
            used: AtomicBool::new(false),
            mappers: AtomicU32::new(0),
            left_mapped: AtomicBool::new(false),
            kept: AtomicBool::new(place == Where::Kept && !in_root),
            in_root: AtomicBool::new(in_root),
            outdated: AtomicBool::new(false),
        });
        table.insert(Arc::clone(&node));
        drop(table);
        if !pinned {
            self.recent.note(&node);
        }
        Ok(node)
    }

    /// Prepares the move of a name of the object `stat` in `view` from below into the root. The kernel moves its
    /// entry with the name, and with it the permission to keep it: so there must be none.
    ///
    /// # Errors
    /// `ESTALE` where there was one: the kernel looks the name up again, and finds another node. The node given
    /// is the one left behind.
    pub(crate) fn move_to_root(&self, view: &View, stat: &Stat) -> Result<(), Option<Arc<Node>>> {
        // Exclusively, for the same reason as in `found`.
        let mut table = self.table.write();
        let node = table.latest(view, stat).cloned();
        if let Some(node) = node.as_ref().filter(|node| node.kept.load(Ordering::Relaxed)) {
            node.outdated.store(true, Ordering::Relaxed);
        }
        if node.as_ref().is_some_and(|node| !node.is_outdated()) {
            table.left(view, stat);
            return Ok(());
        }
        table.leave(view, stat);
        Err(node)
    }

    /// The object `stat` in `view` is about to be looked up, and then moved from below into the root: see to it that
    /// it is found as a node that may be. Gives the node that is left behind.
    pub(crate) fn expect_move_to_root(&self, view: &View, stat: &Stat) -> Option<Arc<Node>> {
        // Exclusively, for the same reason as in `found`.
        let mut table = self.table.write();
        match table.latest(view, stat).cloned() {
            Some(node) if !node.kept.load(Ordering::Relaxed) && !node.is_outdated() => {
                node.in_root.store(true, Ordering::Relaxed);
                None
            }
            node => {
                node.iter().for_each(|node| node.outdated.store(true, Ordering::Relaxed));
                table.leave(view, stat);
                node
            }
        }
    }

    /// Counts one more look-up of the node `id`, if the kernel knows it still.
    pub(crate) fn count(&self, id: u64) -> Option<Arc<Node>> {
        let table = self.table.write();
        let node = table.get(id)?;
        node.lookups.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(node))
    }

    /// The object's handle, if it can be opened again by it.
    fn usable_handle(&self, view: &View, anchor: &OwnedFd, stat: &Stat) -> Result<Option<Handle>, Errno> {
        let Some(handle) = backing::handle_of(anchor.as_fd())? else { return Ok(None) };
        match view.remember_mount(&handle, anchor) {
            Ok(()) => Ok(Some(handle)),
            Err(Errno::EOPNOTSUPP) if !stat.is_dir() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The node of the object with that handle in `view`, unless its id is merely counted.
    pub(crate) fn by_handle(&self, view: &View, handle: &HandleKey) -> Option<Arc<Node>> {
        let table = self.table.read();
        table.get(usual_id(view, handle.inode()?)).filter(|node| node.has_key(handle)).cloned()
    }

    /// Takes back `count` look-ups; at none left the node is gone.
    pub(crate) fn forget(&self, id: u64, count: u64) {
        let gone = self.table.write().forget(id, count);
        // The last reference may close descriptors: not under the lock.
        drop(gone);
    }

    /// A descriptor that names the node's object.
    ///
    /// # Errors
    /// `ESTALE` if it is gone below.
    pub(crate) fn anchor(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>, Errno> {
        node.used.store(true, Ordering::Relaxed);
        if let Some(fd) = &*node.fd.lock() {
            return Ok(Arc::clone(fd));
        }
        let handle = node.handle.as_ref().ok_or(Errno::ESTALE)?;
        let opened = Arc::new(node.view.open_handle(handle)?);
        let mut fd = node.fd.lock();
        // Another thread may have been faster, and pinned its own.
        let fd = Arc::clone(fd.get_or_insert(opened));
        self.recent.note(node);
        Ok(fd)
    }

    /// Prepares for the loss of a name of the object `stat` in `view`: if the kernel knows its node and this
    /// was the last name, the node will keep a descriptor.
    pub(crate) fn losing_name(&self, view: &View, stat: &Stat) -> Option<Departure> {
        if !stat.is_dir() && stat.nlink > 1 {
            return None;
        }
        let node = self.table.read().latest(view, stat).cloned()?;
        let fd = self.anchor(&node).ok()?;
        Some(Departure { node, fd })
    }

    /// The name is gone: see [`Nodes::losing_name`].
    pub(crate) fn lost_name(&self, departure: Departure) {
        let Departure { node, fd } = departure;
        let mut slot = node.fd.lock();
        node.pinned.store(true, Ordering::Relaxed);
        *slot = Some(fd);
    }

    /// An object that had no name has got one: it needs no descriptor any more if there is another way to it.
    pub(crate) fn got_name(&self, id: u64) {
        let Ok(node) = self.get(id) else { return };
        if node.handle.is_some() && node.pinned.swap(false, Ordering::Relaxed) {
            self.recent.note(&node);
        }
    }

    /// How many nodes the kernel knows.
    pub(crate) fn len(&self) -> usize {
        self.table.read().len()
    }
}

/// A node whose last name is about to go, held so that it can still be reached.
#[derive(Debug)]
pub(crate) struct Departure {
    node: Arc<Node>,
    fd: Arc<OwnedFd>,
}

#[cfg(test)]
mod tests;
