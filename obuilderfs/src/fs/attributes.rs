//! Attributes of objects, and space of the file system below.
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::statvfs::Statvfs;
use nix::sys::time::TimeSpec;

use super::root::act_at;
use super::set_ids::act_on;
use super::{Attributes, FileSystem};
use crate::backing::{self, S_ISGID};
use crate::caller::{Caller, act_with_groups, as_daemon};
use crate::nodes::{CONTROL, ROOT};
use crate::view::View;

/// What is to be changed; `None` leaves a thing as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) atime: Option<TimeChange>,
    pub(crate) mtime: Option<TimeChange>,
}

impl Change {
    /// How the kernel asks for what a write or an empty `chown(2)` does beside: see [`FileSystem::drop_set_ids`].
    fn is_nothing(&self) -> bool {
        let Self { mode, uid, gid, size, atime, mtime } = self;
        mode.or(*uid).or(*gid).is_none() && size.is_none() && atime.is_none() && mtime.is_none()
    }
}

/// A new time: the present, which needs less permission, or one given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TimeChange {
    Now,
    To(backing::Time),
}

fn time_spec(change: Option<TimeChange>) -> TimeSpec {
    match change {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeChange::Now) => TimeSpec::UTIME_NOW,
        Some(TimeChange::To(time)) => TimeSpec::new(time.seconds, i64::from(time.nanoseconds)),
    }
}

impl FileSystem {
    pub(crate) fn getattr(&self, id: u64, handle: Option<u64>) -> Result<Attributes, Errno> {
        if id == ROOT || id == CONTROL {
            return Ok(Self::constant(id));
        }
        if let Some(file) = handle.and_then(|handle| self.files.get(handle).ok()) {
            let stat = backing::stat(file.fd())?;
            return Ok(self.shown(&file.node, &stat));
        }
        let node = self.nodes.get(id)?;
        let stat = backing::stat(self.nodes.anchor(&node)?.as_fd())?;
        Ok(self.shown(&node, &stat))
    }

    /// Changes attributes as the caller. In the root this concerns the caller's own tree, though what is
    /// shown of the root stays as it is.
    pub(crate) fn setattr(
        &self,
        caller: &Caller,
        id: u64,
        handle: Option<u64>,
        change: &Change,
    ) -> Result<Attributes, Errno> {
        if id == CONTROL {
            return Err(Errno::EPERM);
        }
        let (view, object) = self.object(caller, id)?;
        let object = object.as_fd();
        let uid = view.acting_uid(caller.uid);
        if change.is_nothing() {
            self.drop_set_ids(caller, &view, id, object)?;
        }
        change_owner(caller, &view, object, change)?;
        if let Some(mode) = change.mode {
            let chmod = || backing::chmod(object, mode);
            if mode & S_ISGID != 0 {
                act_with_groups(caller, uid, chmod)?;
            } else {
                act_at(id, caller, uid, chmod)?;
            }
        }
        if let Some(size) = change.size {
            let length = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
            let file = handle.and_then(|handle| self.files.get(handle).ok());
            act_on(caller, uid, object, || match &file {
                Some(file) => nix::unistd::ftruncate(file.fd(), length),
                None => backing::truncate(object, length),
            })?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let (atime, mtime) = (time_spec(change.atime), time_spec(change.mtime));
            act_at(id, caller, uid, || backing::set_times(object, atime, mtime))?;
        }
        if id == ROOT {
            return Ok(Self::constant(ROOT));
        }
        let stat = backing::stat(object)?;
        Ok(self.shown(&self.nodes.get(id)?, &stat))
    }

    pub(crate) fn statfs(&self, caller: &Caller, id: u64) -> Result<Statvfs, Errno> {
        let (_, object) = if id == CONTROL { self.object(caller, ROOT)? } else { self.object(caller, id)? };
        as_daemon(|| backing::statvfs(&object))
    }
}

fn change_owner(
    caller: &Caller,
    view: &View,
    object: std::os::fd::BorrowedFd<'_>,
    change: &Change,
) -> Result<(), Errno> {
    if change.uid.is_none() && change.gid.is_none() {
        return Ok(());
    }
    let uid = change.uid.map(|uid| view.uid_below(uid));
    act_on(caller, view.acting_uid(caller.uid), object, || backing::chown(object, uid, change.gid))
}
