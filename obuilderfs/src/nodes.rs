//! Node ids: which object of which view the kernel means.
//!
//! A node lives as long as the kernel counts look-ups of it. It costs no descriptor: it holds a file handle,
//! and a descriptor only while it was used of late ([`Recent`]) or its last name is gone. Where the file system
//! below gives no handles, it holds a descriptor.
//!
//! Lock order: the table, then a node's slot, then the recently used.
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use parking_lot::{Mutex, RwLock};

use crate::backing::{self, Handle, Stat};
use crate::view::View;

/// The node every mount starts with, shared by all.
pub(crate) const ROOT: u64 = 1;
/// `.obuilderfs`, where private views are entered.
pub(crate) const CONTROL: u64 = 2;

/// Bits of a node id that hold the object's inode number; the view's number stands above them.
const INODE_BITS: u32 = 44;
/// Set in ids that are merely counted, for objects whose number does not fit or is taken.
const COUNTED: u64 = 1 << 63;

/// One object of one view.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) view: Arc<View>,
    key: Key,
    handle: Option<Handle>,
    slot: Mutex<Slot>,
    used: AtomicBool,
}

impl Node {
    /// The device the object lies on.
    pub(crate) fn device(&self) -> u64 {
        self.key.dev
    }
}

/// A node's descriptor, if it has one now.
#[derive(Debug, Default)]
struct Slot {
    fd: Option<Arc<OwnedFd>>,
    /// It must stay: there is no other way to the object.
    pinned: bool,
}

/// Which object: view, device, inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    view: u32,
    dev: u64,
    ino: u64,
}

/// All nodes the kernel knows.
#[derive(Debug)]
pub(crate) struct Nodes {
    table: RwLock<Table>,
    recent: Recent,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<u64, (Arc<Node>, u64)>,
    by_object: HashMap<Key, u64>,
    counted: u64,
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
        self.table.read().by_id.get(&id).map(|(node, _)| Arc::clone(node)).ok_or(Errno::ESTALE)
    }

    /// The node of the object `anchor` holds in `view`, counted once more. `remember` keeps the descriptor at
    /// hand for what comes next.
    ///
    /// # Errors
    /// The object cannot be asked for its handle.
    pub(crate) fn found(
        &self,
        view: &Arc<View>,
        anchor: OwnedFd,
        stat: &Stat,
        remember: bool,
    ) -> Result<Arc<Node>, Errno> {
        let handle = self.usable_handle(view, &anchor, stat)?;
        let key = Key { view: view.index(), dev: stat.dev, ino: stat.ino };
        let mut table = self.table.write();
        if let Some(node) = table.count_known(key, handle.as_ref()) {
            return Ok(node);
        }
        let pinned = handle.is_none();
        let keep = pinned || remember;
        let node = Arc::new(Node {
            id: table.free_id(usual_id(view, stat.ino), stat.ino),
            view: Arc::clone(view),
            key,
            handle,
            slot: Mutex::new(Slot { fd: keep.then(|| Arc::new(anchor)), pinned }),
            used: AtomicBool::new(false),
        });
        table.by_object.insert(key, node.id);
        table.by_id.insert(node.id, (Arc::clone(&node), 1));
        drop(table);
        if keep && !pinned {
            self.recent.note(&node);
        }
        Ok(node)
    }

    /// Counts one more look-up of a node the kernel knows.
    pub(crate) fn count(&self, node: &Node) {
        if let Some((_, lookups)) = self.table.write().by_id.get_mut(&node.id) {
            *lookups += 1;
        }
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

    /// Takes back `count` look-ups; at none left the node is gone.
    pub(crate) fn forget(&self, id: u64, count: u64) {
        let mut table = self.table.write();
        let Some((node, lookups)) = table.by_id.get_mut(&id) else { return };
        *lookups = lookups.saturating_sub(count);
        if *lookups > 0 {
            return;
        }
        let key = node.key;
        let gone = table.by_id.remove(&id);
        if table.by_object.get(&key) == Some(&id) {
            table.by_object.remove(&key);
        }
        // The last reference may close descriptors: not under the lock.
        drop(table);
        drop(gone);
    }

    /// A descriptor that names the node's object.
    ///
    /// # Errors
    /// `ESTALE` if it is gone below.
    pub(crate) fn anchor(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>, Errno> {
        node.used.store(true, Ordering::Relaxed);
        if let Some(fd) = &node.slot.lock().fd {
            return Ok(Arc::clone(fd));
        }
        let handle = node.handle.as_ref().ok_or(Errno::ESTALE)?;
        let fd = Arc::new(node.view.open_handle(handle)?);
        node.slot.lock().fd = Some(Arc::clone(&fd));
        self.recent.note(node);
        Ok(fd)
    }

    /// Prepares for the loss of a name of the object `stat` in `view`: if the kernel knows its node and this
    /// was the last name, the node keeps a descriptor, and the number is free for another object.
    pub(crate) fn losing_name(&self, view: &View, stat: &Stat) -> Option<Departure> {
        let key = Key { view: view.index(), dev: stat.dev, ino: stat.ino };
        let id = *self.table.read().by_object.get(&key)?;
        if !stat.is_dir() && stat.nlink > 1 {
            return None;
        }
        let node = self.get(id).ok()?;
        let fd = self.anchor(&node).ok()?;
        Some(Departure { node, fd })
    }

    /// The name is gone: see [`Nodes::losing_name`].
    pub(crate) fn lost_name(&self, departure: Departure) {
        let Departure { node, fd } = departure;
        *node.slot.lock() = Slot { fd: Some(fd), pinned: true };
        let mut table = self.table.write();
        if table.by_object.get(&node.key) == Some(&node.id) {
            table.by_object.remove(&node.key);
        }
    }

    /// How many nodes the kernel knows.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.read().by_id.len()
    }
}

/// A node whose last name is about to go, held so that it can still be reached.
#[derive(Debug)]
pub(crate) struct Departure {
    node: Arc<Node>,
    fd: Arc<OwnedFd>,
}

impl Table {
    /// The node `key` has now, counted once more, if its handle shows that it is the same object still.
    fn count_known(&mut self, key: Key, handle: Option<&Handle>) -> Option<Arc<Node>> {
        let id = self.by_object.get(&key)?;
        let (node, lookups) = self.by_id.get_mut(id)?;
        if node.handle.as_ref() != handle {
            return None;
        }
        *lookups += 1;
        Some(Arc::clone(node))
    }

    fn free_id(&mut self, usual: u64, ino: u64) -> u64 {
        if ino >> INODE_BITS == 0 && !self.by_id.contains_key(&usual) {
            return usual;
        }
        self.counted += 1;
        COUNTED | self.counted
    }
}

/// The nodes that hold a descriptor because they were used of late. When there are too many, the oldest that
/// was not used since loses it (the clock algorithm).
#[derive(Debug)]
struct Recent {
    capacity: usize,
    queue: Mutex<VecDeque<std::sync::Weak<Node>>>,
}

impl Recent {
    fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(16), queue: Mutex::default() }
    }

    fn note(&self, node: &Arc<Node>) {
        let mut closed = Vec::new();
        let mut queue = self.queue.lock();
        queue.push_back(Arc::downgrade(node));
        while queue.len() > self.capacity {
            let Some(oldest) = queue.pop_front() else { break };
            let Some(oldest) = oldest.upgrade() else { continue };
            if oldest.used.swap(false, Ordering::Relaxed) {
                queue.push_back(Arc::downgrade(&oldest));
                continue;
            }
            closed.push(oldest);
        }
        drop(queue);
        for node in closed {
            let mut slot = node.slot.lock();
            if !slot.pinned {
                slot.fd = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::scoreboard::Scoreboard;
    use crate::view::Views;

    struct World {
        dir: tempfile::TempDir,
        view: Arc<View>,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let board = Scoreboard::create(&dir.path().join("board")).unwrap();
        fs::create_dir(dir.path().join("fallback")).unwrap();
        let fallback = fs::File::open(dir.path().join("fallback")).unwrap();
        let views = Views::new(board, Path::new("/nonexistent"), fallback.into()).unwrap();
        let view = Arc::clone(views.fallback());
        World { dir, view }
    }

    fn look_up(nodes: &Nodes, world: &World, name: &str) -> Arc<Node> {
        let anchor = backing::anchor(world.view.home().as_fd(), OsStr::new(name)).unwrap();
        let stat = backing::stat(anchor.as_fd()).unwrap();
        nodes.found(&world.view, anchor, &stat, true).unwrap()
    }

    fn write(world: &World, name: &str) {
        fs::write(world.dir.path().join("fallback").join(name), name).unwrap();
    }

    #[test]
    fn two_names_of_one_file_are_one_node_until_both_look_ups_are_forgotten() {
        let (nodes, world) = (Nodes::new(64), world());
        write(&world, "a");
        let path = world.dir.path().join("fallback");
        fs::hard_link(path.join("a"), path.join("b")).unwrap();
        let id = look_up(&nodes, &world, "a").id;
        assert_eq!(look_up(&nodes, &world, "b").id, id);
        nodes.forget(id, 1);
        assert!(nodes.get(id).is_ok());
        nodes.forget(id, 1);
        assert_eq!(nodes.get(id).unwrap_err(), Errno::ESTALE);
        assert_eq!(nodes.len(), 0);
    }

    #[test]
    fn an_inode_number_used_again_is_another_node() {
        let (nodes, world) = (Nodes::new(64), world());
        let path = world.dir.path().join("fallback");
        write(&world, "first");
        let first = look_up(&nodes, &world, "first");
        // Removed behind our back, so nothing tells us; the number comes back at once on ext4.
        nodes.recent.queue.lock().clear();
        first.slot.lock().fd = None;
        fs::remove_file(path.join("first")).unwrap();
        write(&world, "second");
        let second = look_up(&nodes, &world, "second");
        assert_ne!(first.id, second.id);
    }

    #[test]
    fn an_object_without_a_name_is_still_reached() {
        let (nodes, world) = (Nodes::new(64), world());
        write(&world, "a");
        let node = look_up(&nodes, &world, "a");
        let stat = backing::stat(nodes.anchor(&node).unwrap().as_fd()).unwrap();
        let departure = nodes.losing_name(&world.view, &stat).unwrap();
        fs::remove_file(world.dir.path().join("fallback/a")).unwrap();
        nodes.lost_name(departure);
        assert_eq!(backing::stat(nodes.anchor(&node).unwrap().as_fd()).unwrap().nlink, 0);
    }

    #[test]
    fn many_nodes_hold_few_descriptors() {
        let (nodes, world) = (Nodes::new(32), world());
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        for n in 0..500 {
            write(&world, &n.to_string());
        }
        let before = open();
        let all: Vec<_> = (0..500).map(|n| look_up(&nodes, &world, &n.to_string())).collect();
        assert!(open() < before + 100, "{} descriptors for 500 nodes", open() - before);
        for (n, node) in all.iter().enumerate() {
            let fd =
                backing::reopen(nodes.anchor(node).unwrap().as_fd(), nix::fcntl::OFlag::O_RDONLY).unwrap();
            assert_eq!(std::io::read_to_string(fs::File::from(fd)).unwrap(), n.to_string());
        }
        assert!(open() < before + 100);
    }
}
