//! The root, which the kernel lets everyone through: what its own tree denies a caller, we have to deny.
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;

use nix::errno::Errno;

use super::{FileSystem, Place};
use crate::backing;
use crate::caller::{Caller, act_as, act_with_groups, as_daemon};
use crate::nodes::ROOT;

/// A task that was told to look up again what it moves into the root, and the last name of the path to it. Then it
/// moves it, holding the directory's lock, so that nobody puts another object there in between.
pub(super) type Mover = (u32, OsString);

/// So many may be on their way at once; one that never comes back is forgotten.
const MOVERS: usize = 256;

impl Place {
    /// Whether it is the mount point itself, which all views share.
    pub(super) fn at_root(&self) -> bool {
        self.root.is_some()
    }

    /// Runs `action`, something in this directory, as the caller.
    pub(super) fn act<T>(
        &self,
        caller: &Caller,
        action: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let uid = self.view.acting_uid(caller.uid);
        if self.at_root() { act_with_groups(caller, uid, action) } else { act_as(caller, uid, action) }
    }
}

/// Runs `action` on the object `id` as the caller. On the root that is with the supplementary groups from the
/// start, for they may deny what all others are allowed; elsewhere the kernel has seen to that.
pub(super) fn act_at<T>(
    id: u64,
    caller: &Caller,
    uid: u32,
    action: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    if id == ROOT { act_with_groups(caller, uid, action) } else { act_as(caller, uid, action) }
}

impl FileSystem {
    /// `name` is about to be moved from `source` to `target`.
    ///
    /// # Errors
    /// `ESTALE` to have the kernel look it up again, and then move it: see [`crate::nodes::Nodes::move_to_root`].
    pub(super) fn leave_below(
        &self,
        caller: &Caller,
        (source, name): (&Place, &OsStr),
        target: &Place,
    ) -> Result<(), Errno> {
        if source.at_root() || !target.at_root() {
            return Ok(());
        }
        let mover = (caller.pid, name.to_owned());
        self.movers.lock().retain(|known| known.0 != caller.pid);
        let Ok(stat) = as_daemon(|| backing::stat_at(source.dir.as_fd(), name)) else { return Ok(()) };
        self.nodes.move_to_root(&source.view, &stat).map_err(|left| {
            if let Some(left) = left {
                self.expire_attributes(left.id);
            }
            let mut movers = self.movers.lock();
            if movers.len() == MOVERS {
                movers.pop_front();
            }
            movers.push_back(mover);
            Errno::ESTALE
        })
    }

    /// The caller looks `name` up in `place`. If that is to move it into the root, whatever is found under it now
    /// may not be kept: the kernel asks but once more, and another object may have come to lie there meanwhile, or
    /// the path may lead to another directory.
    pub(super) fn expect_move(&self, caller: &Caller, place: &Place, name: &OsStr) {
        let moves = |mover: &Mover| mover.0 == caller.pid && mover.1 == name;
        if place.at_root() || !self.movers.lock().iter().any(moves) {
            return;
        }
        if let Ok(stat) = as_daemon(|| backing::stat_at(place.dir.as_fd(), name))
            && let Some(left) = self.nodes.expect_move_to_root(&place.view, &stat)
            && let Some(kernel) = self.kernel.get()
        {
            kernel.expire_attributes(left.id);
        }
    }

    /// Whether the caller may look names up in the root of its tree.
    ///
    /// # Errors
    /// `EACCES` if not.
    pub(super) fn may_search(caller: &Caller, place: &Place) -> Result<(), Errno> {
        let dir = place.dir.as_fd();
        if place.root.is_none_or(|root| place.view.lets_everyone_search(dir, &root)) {
            return Ok(());
        }
        let uid = place.view.acting_uid(caller.uid);
        act_with_groups(caller, uid, || backing::stat_at(dir, OsStr::new("."))).map(drop)
    }
}
