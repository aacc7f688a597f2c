//! Passing on to the kernel what others changed behind a shared mount.
use std::io;
use std::sync::Arc;

use tracing::warn;

use super::FileSystem;
use crate::platform::{Change, Kernel};

impl FileSystem {
    /// The mount is there, and this is how to tell its kernel side things.
    pub(crate) fn connected(&self, kernel: Kernel) {
        let _ = self.kernel.set(kernel);
    }

    /// The kernel does not understand what it would be told.
    pub(crate) fn cannot_be_told(&self) {
        self.changes.disable();
    }

    /// Passes changes on, and lets go of what is no longer wanted, from now on.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn follow(self: &Arc<Self>) -> io::Result<()> {
        self.follow_links()?;
        let fs = Arc::clone(self);
        self.changes.follow(move |change| fs.pass_on(change))
    }

    fn pass_on(&self, change: &Change) {
        let Some(kernel) = self.kernel.get() else { return };
        let mut views = self.views.living();
        views.retain(|view| !view.private);
        match change {
            Change::Name(directory, name) => {
                for node in views.iter().filter_map(|view| self.nodes.by_handle(view, directory)) {
                    kernel.expire_name(node.id, name);
                }
            }
            Change::Object(object) => {
                for node in views.iter().filter_map(|view| self.nodes.by_handle(view, object)) {
                    kernel.expire_object(node.id);
                }
            }
            Change::Lost => {
                warn!("changes behind the mount were lost; everything is looked up again");
                kernel.expire_all_names();
            }
        }
    }
}
