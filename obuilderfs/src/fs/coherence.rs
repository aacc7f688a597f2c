//! Passing on to the kernel what others changed behind a shared mount.
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::FileSystem;
use crate::backing::HandleKey;
use crate::changes::Untold;
use crate::nodes::Node;
use crate::platform::{Change, Kernel};

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
        if !self.changes.are_followed() {
            return Ok(());
        }
        let fs = Arc::clone(self);
        let body = move || {
            while fs.changes.wait().is_ok() {
                fs.changes.pass_on(
                    |change, known| fs.pass_on_at_once(change, known),
                    |untold, until| fs.pass_on(untold, until),
                );
            }
        };
        std::thread::Builder::new().name("changes".to_owned()).spawn(body).map(drop)
    }

    /// Waits until the kernel knows of every change made before this call.
    pub(super) fn settle(&self) {
        self.changes.settle(|change, known| self.pass_on_at_once(change, known));
    }

    /// Passes a change on if that needs no lock which somebody may hold who waits for us; says whether it did.
    /// `known`: the kernel knows of it.
    fn pass_on_at_once(&self, change: &Change, known: bool) -> bool {
        self.first_names.apply(change);
        let Some(kernel) = self.kernel.get().filter(|_| !known) else { return true };
        match change {
            Change::Name(directory, _) => self.nodes_of(directory).is_empty(),
            Change::Object(object) => self.nodes_of(object).iter().fold(true, |done, node| {
                // Nothing is kept of what may be mapped.
                let told = node.may_be_mapped() || self.expires(kernel, node.id);
                done && told && !node.is_cached()
            }),
            Change::Lost => false,
        }
    }

    /// The object's nodes in the views that changes behind the mount have to be passed on to. The views are those of
    /// now: one may be new, and the object have become known in it, since somebody began to read of changes.
    fn nodes_of(&self, object: &HandleKey) -> Vec<Arc<Node>> {
        if !self.nodes.may_know(object) {
            return Vec::new();
        }
        let mut views = self.views.living();
        views.retain(|view| !view.private);
        self.nodes.by_handle(&views, object)
    }

    /// Says whether the kernel keeps no attributes of the node from now on. Those of a new one may be on their way to
    /// it, and it does not know the node before they are there.
    fn expires(&self, kernel: &Kernel, id: u64) -> bool {
        kernel.expire_attributes(id) || !self.nodes.is_known(id)
    }

    /// Says whether the kernel knows of the change now; `until`: how long to wait for it to take note of objects that
    /// it is being told of.
    fn pass_on(&self, untold: &Untold, until: Instant) -> bool {
        let Some(kernel) = self.kernel.get() else { return true };
        match &untold.change {
            Change::Name(directory, name) => {
                for node in self.nodes_of(directory) {
                    // To one view our own change is no news, and what it keeps is right. Of others' nothing may stay:
                    // an answer that is under way to who asks again whether the name is the same would renew it.
                    if untold.own {
                        kernel.expire_name(node.id, name);
                    } else {
                        kernel.forget_name(node.id, name);
                    }
                }
                true
            }
            // Each of them is told.
            Change::Object(object) => {
                self.nodes_of(object).iter().filter(|node| !self.expire(kernel, node.id, until)).count() == 0
            }
            Change::Lost => {
                warn!("changes behind the mount were lost; everything is looked up again");
                kernel.expire_all_names();
                true
            }
        }
    }

    fn expire(&self, kernel: &Kernel, id: u64, until: Instant) -> bool {
        let mut expires = self.expires(kernel, id);
        while !expires && Instant::now() < until {
            std::thread::sleep(MOMENT);
            expires = self.expires(kernel, id);
        }
        kernel.expire_object(id);
        expires
    }
}
