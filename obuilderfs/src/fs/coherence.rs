//! Passing on to the kernel what others changed behind a shared mount.
use std::cell::LazyCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::FileSystem;
use crate::platform::{Change, Kernel};
use crate::view::View;

/// How long to leave the kernel alone that has not taken note yet of what it was just told.
const MOMENT: Duration = Duration::from_micros(50);

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
        let (here, there) = (Arc::clone(self), Arc::clone(self));
        let at_once = move |change: &Change, until| here.pass_on_at_once(&here.watched(), change, until);
        self.changes.follow(at_once, move |change| there.pass_on(change))
    }

    /// Waits until the kernel knows of every change made before this call.
    pub(super) fn settle(&self) {
        let views = LazyCell::new(|| self.watched());
        self.changes.settle(|change, until| self.pass_on_at_once(&views, change, until));
    }

    /// The views that changes behind the mount have to be passed on to.
    fn watched(&self) -> Vec<Arc<View>> {
        let mut views = self.views.living();
        views.retain(|view| !view.private);
        views
    }

    /// Passes a change on if that needs no lock which somebody may hold who waits for us; says whether it did.
    /// `until`: how long to wait for the kernel to take note of objects that it is being told of; `None` if it knows
    /// of the change.
    fn pass_on_at_once(&self, views: &[Arc<View>], change: &Change, until: Option<Instant>) -> bool {
        let nodes = match change {
            Change::Name(object, _) | Change::Object(object) => self.nodes.by_handle(views, object),
            Change::Lost => Vec::new(),
        };
        let first: Vec<u64> = nodes.iter().filter(|node| node.is_in_root()).map(|node| node.id).collect();
        self.first_names.apply(change, &first);
        let (Some(kernel), Some(until)) = (self.kernel.get(), until) else { return true };
        match change {
            Change::Name(..) => nodes.is_empty(),
            Change::Object(_) => nodes.iter().fold(true, |done, node| {
                // Nothing is kept of it meanwhile.
                if !node.may_be_mapped() {
                    self.expire_for_certain(kernel, node.id, until);
                }
                done && !node.is_cached()
            }),
            Change::Lost => false,
        }
    }

    /// Attributes of a new node may be on their way to the kernel, which does not know it before they are there.
    fn expire_for_certain(&self, kernel: &Kernel, id: u64, until: Instant) {
        while !kernel.expire_attributes(id) && self.nodes.is_known(id) && Instant::now() < until {
            std::thread::sleep(MOMENT);
        }
    }

    fn pass_on(&self, change: &Change) {
        let Some(kernel) = self.kernel.get() else { return };
        let views = self.watched();
        match change {
            Change::Name(directory, name) => {
                for node in self.nodes.by_handle(&views, directory) {
                    kernel.expire_name(node.id, name);
                }
            }
            Change::Object(object) => {
                for node in self.nodes.by_handle(&views, object) {
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
