//! Which nodes hold a descriptor because they were used of late.
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Node;

/// When there are too many, the oldest that was not used since loses its descriptor (the clock algorithm).
#[derive(Debug)]
pub(super) struct Recent {
    capacity: usize,
    queue: Mutex<VecDeque<Weak<Node>>>,
}

impl Recent {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(16), queue: Mutex::default() }
    }

    /// `node` has just got a descriptor.
    pub(super) fn note(&self, node: &Arc<Node>) {
        let mut closed = Vec::new();
        let mut queue = self.queue.lock();
        queue.push_back(Arc::downgrade(node));
        while queue.len() > self.capacity {
            let Some(oldest) = queue.pop_front() else { break };
            let Some(oldest) = oldest.upgrade() else { continue };
            if oldest.was_used() {
                queue.push_back(Arc::downgrade(&oldest));
            } else {
                closed.push(oldest);
            }
        }
        drop(queue);
        closed.iter().for_each(|node| node.close());
    }

    /// Lets go of nodes that are gone: each keeps a page from being given back.
    pub(super) fn forget_gone(&self) {
        let mut queue = self.queue.lock();
        queue.retain(|node| node.strong_count() > 0);
        queue.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn clear(&self) {
        self.queue.lock().clear();
    }
}
