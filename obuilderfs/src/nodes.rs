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
mod node;
mod numbers;
mod recent;
mod table;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use parking_lot::RwLock;

pub(crate) use self::node::Node;
use self::numbers::Numbers;
use self::recent::Recent;
use self::table::Table;
use crate::backing::{self, Handle, HandleKey, Stat};
use crate::platform;
use crate::view::View;

/// The node every mount starts with, shared by all.
pub(crate) const ROOT: u64 = 1;
/// `.obuilderfs`, where private views are entered.
pub(crate) const CONTROL: u64 = 2;

/// Bits of a node id that hold the object's inode number; the view's number stands above them.
const INODE_BITS: u32 = 44;
const INODES: u64 = (1 << INODE_BITS) - 1;
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

/// All nodes the kernel knows.
#[derive(Debug)]
pub(crate) struct Nodes {
    table: RwLock<Table>,
    numbers: Numbers,
    recent: Recent,
}

/// The id an object has unless it is taken; a directory listing shows the same number.
pub(crate) fn usual_id(view: &View, ino: u64) -> u64 {
    let view = u64::from(view.index()) << INODE_BITS;
    // Numbers that do not fit are folded: such an object gets a counted id when it is looked up.
    view | (ino & INODES)
}

impl Nodes {
    /// Keeps at most `descriptors` of recently used nodes.
    pub(crate) fn new(descriptors: usize) -> Self {
        Self { table: RwLock::default(), numbers: Numbers::default(), recent: Recent::new(descriptors) }
    }

    /// The node `id`.
    ///
    /// # Errors
    /// `ESTALE` if the kernel was never told of it.
    pub(crate) fn get(&self, id: u64) -> Result<Arc<Node>, Errno> {
        self.table.read().get(id).cloned().ok_or(Errno::ESTALE)
    }

    /// The node of the object with that handle in `view`, counted once more, if it is known and may be found like
    /// that, in the root or where nothing is kept.
    pub(crate) fn found_again(
        &self,
        view: &View,
        handle: &Handle,
        stat: &Stat,
        at_root: bool,
    ) -> Option<Arc<Node>> {
        // Shared: look-ups are taken back under the exclusive lock alone.
        let table = self.table.read();
        let usable =
            |node: &&Arc<Node>| if at_root { node.is_first(stat.is_dir()) } else { !node.is_outdated() };
        let node = table.known(view, stat, Some(handle)).filter(usable)?;
        node.lookups.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(node))
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
        let id = table.new_id(view, stat);
        // One that is counted is found by where it lies.
        let told = id & COUNTED == 0 || stat.dev == view.device();
        let node = Node::new((id, view), (handle, anchor), (pinned, told));
        node.in_root.store(in_root, Ordering::Relaxed);
        node.kept.store(place == Where::Kept && !in_root, Ordering::Relaxed);
        let node = Arc::new(node);
        node.number().into_iter().for_each(|ino| self.numbers.add(ino));
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

    /// Counts one more look-up of `node` in the root, if the kernel knows it still and it may be used there. Says
    /// whether it did.
    pub(crate) fn count_first(&self, node: &Arc<Node>) -> bool {
        // Shared, as in `found_again`. A directory that is kept below by now must be found anew.
        let table = self.table.read();
        let counts = table.get(node.id).is_some_and(|known| Arc::ptr_eq(known, node)) && node.is_first(true);
        if counts {
            node.lookups.fetch_add(1, Ordering::Relaxed);
        }
        counts
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

    /// False if no node has the inode number in that handle.
    pub(crate) fn may_know(&self, handle: &HandleKey) -> bool {
        handle.inode().is_some_and(|ino| self.numbers.may_hold(ino))
    }

    /// The nodes of the object with that handle in `views`, of which changes by others are told.
    pub(crate) fn by_handle(&self, views: &[Arc<View>], handle: &HandleKey) -> Vec<Arc<Node>> {
        let Some(ino) = handle.inode() else { return Vec::new() };
        let table = self.table.read();
        // The usual id may still be that of an object that is gone, and whose number was taken.
        let ids = |view: &Arc<View>| [Some(usual_id(view, ino)), table.counted(view, ino)];
        let known = views.iter().flat_map(ids).flatten().filter_map(|id| table.get(id));
        known.filter(|node| node.has_key(handle)).cloned().collect()
    }

    /// Whether the kernel was told of the node `id` and has not let go of it.
    pub(crate) fn is_known(&self, id: u64) -> bool {
        self.table.read().get(id).is_some()
    }

    /// Takes back `count` look-ups; at none left the node is gone.
    pub(crate) fn forget(&self, id: u64, count: u64) {
        let (gone, crowd_has_gone) = {
            let mut table = self.table.write();
            (table.forget(id, count), table.shrink())
        };
        gone.iter().filter_map(|node| node.number()).for_each(|ino| self.numbers.remove(ino));
        // The last reference may close descriptors: not under the lock.
        drop(gone);
        if crowd_has_gone {
            self.recent.forget_gone();
            platform::release_memory();
        }
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
