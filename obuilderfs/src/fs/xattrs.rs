//! Extended attributes. `trusted.*` is root's, and of `security.*` others may only read: the daemon keeps the
//! capability that would let it do more for them.
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::root::act_at;
use super::set_ids::act_on;
use super::{FileSystem, STATUS};
use crate::backing;
use crate::caller::{Caller, as_daemon};
use crate::nodes::{CONTROL, ROOT};

/// The rights a program gets; a change of the file takes them away.
const CAPABILITY: &str = "security.capability";

impl FileSystem {
    pub(crate) fn getxattr(&self, caller: &Caller, id: u64, name: &OsStr) -> Result<Vec<u8>, Errno> {
        if id == CONTROL && name == STATUS && caller.uid == 0 {
            return Ok(self.status());
        }
        // The root is one for all, so no user's ACL may speak for it.
        if id == CONTROL || id == ROOT && is_acl(name) {
            return Err(Errno::ENODATA);
        }
        if is_trusted(name) && caller.uid != 0 {
            return Err(Errno::ENODATA);
        }
        let (view, object) = self.object(caller, id)?;
        act_at(id, caller, view.acting_uid(caller.uid), || backing::get_xattr(object.as_fd(), name))
    }

    /// The names, each followed by a zero byte.
    pub(crate) fn listxattr(&self, caller: &Caller, id: u64) -> Result<Vec<u8>, Errno> {
        if id == CONTROL {
            return Ok(Vec::new());
        }
        let (view, object) = self.object(caller, id)?;
        let all = act_at(id, caller, view.acting_uid(caller.uid), || backing::list_xattrs(object.as_fd()))?;
        if caller.uid == 0 {
            return Ok(all);
        }
        let names = all.split_inclusive(|&b| b == 0);
        Ok(names.filter(|name| !is_trusted(OsStr::from_bytes(name))).flatten().copied().collect())
    }

    /// `flags` are `XATTR_CREATE` or `XATTR_REPLACE`.
    pub(crate) fn setxattr(
        &self,
        caller: &Caller,
        id: u64,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Result<(), Errno> {
        may_change(caller, id, name)?;
        let (view, object) = self.object(caller, id)?;
        let uid = view.acting_uid(caller.uid);
        let set = || backing::set_xattr(object.as_fd(), name, value, flags);
        // An ACL sets the mode too, and with it may go the set-group-id bit.
        if is_acl(name) { act_on(caller, uid, object.as_fd(), set) } else { act_at(id, caller, uid, set) }
    }

    pub(crate) fn removexattr(&self, caller: &Caller, id: u64, name: &OsStr) -> Result<(), Errno> {
        // Callers without the right to it the kernel has refused: what is left is a file that is changed.
        if name == CAPABILITY && id != CONTROL {
            let (_, object) = self.object(caller, id)?;
            return as_daemon(|| backing::remove_xattr(object.as_fd(), name));
        }
        may_change(caller, id, name)?;
        let (view, object) = self.object(caller, id)?;
        act_at(id, caller, view.acting_uid(caller.uid), || backing::remove_xattr(object.as_fd(), name))
    }
}

fn may_change(caller: &Caller, id: u64, name: &OsStr) -> Result<(), Errno> {
    let reserved = is_trusted(name) || name.as_bytes().starts_with(b"security.");
    if id == CONTROL || reserved && caller.uid != 0 {
        return Err(Errno::EPERM);
    }
    if id == ROOT && is_acl(name) {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(())
}

fn is_trusted(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"trusted.")
}

fn is_acl(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"system.posix_acl_")
}
