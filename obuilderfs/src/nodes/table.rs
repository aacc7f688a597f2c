//! Nodes by id, and the ids of objects whose usual one is taken.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{COUNTED, INODE_BITS, Node, usual_id};
use crate::backing::{Handle, Stat};
use crate::view::View;

/// So many objects may be on their way into the root at once.
const LEAVING: usize = 256;

/// Below this many nodes, memory is not worth giving back. Each that was left when it was given back last may have
/// kept a page from going with the rest.
const SMALL: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Table {
    by_id: HashMap<u64, Arc<Node>>,
    /// Objects with a counted id: view, device, inode.
    by_object: HashMap<(u32, u64, u64), u64>,
    /// The other way round.
    counted: HashMap<u64, (u32, u64, u64)>,
    last: u64,
    /// Objects on their way from below into the root: view, device, inode.
    leaving: VecDeque<(u32, u64, u64)>,
}

fn key(view: &View, stat: &Stat) -> (u32, u64, u64) {
    (view.index(), stat.dev, stat.ino)
}

impl Table {
    pub(super) fn get(&self, id: u64) -> Option<&Arc<Node>> {
        self.by_id.get(&id)
    }

    /// The node an object with these numbers had last; it may be one that is gone and whose number was taken.
    pub(super) fn latest(&self, view: &View, stat: &Stat) -> Option<&Arc<Node>> {
        match self.by_object.get(&key(view, stat)) {
            Some(id) => self.by_id.get(id),
            None => self.by_id.get(&usual_id(view, stat.ino)),
        }
    }

    /// The node of the object with this handle, if the kernel knows it.
    pub(super) fn known(&self, view: &View, stat: &Stat, handle: Option<&Handle>) -> Option<&Arc<Node>> {
        self.latest(view, stat).filter(|node| node.is(stat, handle))
    }

    /// The object is about to be looked up again, to leave for the root. It may never go.
    pub(super) fn leave(&mut self, view: &View, stat: &Stat) {
        if self.leaving.len() == LEAVING {
            self.leaving.pop_front();
        }
        self.leaving.push_back(key(view, stat));
    }

    /// Whether the object is about to leave.
    pub(super) fn is_leaving(&self, view: &View, stat: &Stat) -> bool {
        !self.leaving.is_empty() && self.leaving.contains(&key(view, stat))
    }

    /// The object goes.
    pub(super) fn left(&mut self, view: &View, stat: &Stat) {
        let left = key(view, stat);
        self.leaving.retain(|leaving| *leaving != left);
    }

    /// The counted id of the object with this inode number that lies where the view's home does.
    pub(super) fn counted(&self, view: &View, ino: u64) -> Option<u64> {
        if self.by_object.is_empty() {
            return None;
        }
        self.by_object.get(&(view.index(), view.device(), ino)).copied()
    }

    /// An id for a new node of this object.
    pub(super) fn new_id(&mut self, view: &View, stat: &Stat) -> u64 {
        let usual = usual_id(view, stat.ino);
        let fits = stat.ino >> INODE_BITS == 0 && u64::from(view.index()) < COUNTED >> INODE_BITS;
        if fits && !self.by_id.contains_key(&usual) {
            return usual;
        }
        self.last += 1;
        let id = COUNTED | self.last;
        if let Some(old) = self.by_object.insert(key(view, stat), id) {
            self.counted.remove(&old);
        }
        self.counted.insert(id, key(view, stat));
        id
    }

    pub(super) fn insert(&mut self, node: Arc<Node>) {
        self.by_id.insert(node.id, node);
    }

    /// Takes back `count` look-ups of `id`. Gives the node back if none is left, to be dropped without a lock.
    pub(super) fn forget(&mut self, id: u64, count: u64) -> Option<Arc<Node>> {
        let node = self.by_id.get(&id)?;
        // Under the exclusive lock, so nobody counts meanwhile.
        let left = node.lookups.load(Ordering::Relaxed).saturating_sub(count);
        node.lookups.store(left, Ordering::Relaxed);
        if left > 0 {
            return None;
        }
        if let Some(key) = self.counted.remove(&id) {
            self.by_object.remove(&key);
        }
        self.by_id.remove(&id)
    }

    /// Shrinks after a crowd has gone. Says whether one had.
    pub(super) fn shrink(&mut self) -> bool {
        let crowd_has_gone = self.by_id.capacity() > SMALL && self.by_id.len() * 8 < self.by_id.capacity();
        if crowd_has_gone {
            self.by_id.shrink_to(self.by_id.len() * 2);
        }
        crowd_has_gone
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
