//! Set-id bits that a file loses when it is changed, exactly when it would lose them natively
//! (`setattr_should_drop_suidgid` in `fs/attr.c`).
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::{FileSystem, OpenFile};
use crate::backing::{self, S_ISGID, S_ISUID, S_IXGRP};
use crate::caller::{Caller, act_as, act_with_groups, as_daemon, is_in_group, with_ids};
use crate::view::View;

/// Runs `action`, which changes `object`, as the caller; with its supplementary groups from the start if they
/// decide whether the object keeps its set-group-id bit.
pub(super) fn act_on<T>(
    caller: &Caller,
    uid: u32,
    object: BorrowedFd<'_>,
    action: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let decisive = uid != 0 && backing::stat(object)?.mode & S_ISGID != 0;
    if decisive { act_with_groups(caller, uid, action) } else { act_as(caller, uid, action) }
}

impl OpenFile {
    /// Runs `action`, which hands the file to the kernel to be read and written without us. The rights it has are
    /// those that every write has until all who opened the file have closed it.
    ///
    /// They are the opener's: so bits that appear behind the mount, of which the kernel does not know, go with the
    /// next write. Where there are bits already the kernel asks before each write, see
    /// [`FileSystem::drop_set_ids`], and the rights must be such that root's writes take none away.
    pub(crate) fn hand_over<T>(&self, action: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        let opener = self.opener();
        let uid = self.node.view.acting_uid(opener.uid);
        if uid == 0 || backing::stat(self.fd())?.mode & (S_ISUID | S_ISGID) != 0 {
            as_daemon(action)
        } else {
            with_ids(uid, opener.gid, action)
        }
    }
}

impl FileSystem {
    /// The kernel asks to change nothing: before somebody without `CAP_FSETID` writes to a file with such bits
    /// (what is written then need not come our way), or for `chown(2)` without any owner. Both drop the bits,
    /// and only the former is allowed to those who do not own the file.
    pub(super) fn drop_set_ids(
        &self,
        caller: &Caller,
        view: &View,
        id: u64,
        object: BorrowedFd<'_>,
    ) -> Result<(), Errno> {
        let uid = view.acting_uid(caller.uid);
        match act_on(caller, uid, object, || backing::chown(object, None, None)) {
            Err(Errno::EPERM) if self.files.any(|file| file.node.id == id && file.is_writable()) => {}
            done => return done,
        }
        let stat = backing::stat(object)?;
        let keeps_group = stat.mode & S_IXGRP == 0 && is_in_group(caller, stat.gid);
        let dropped = if keeps_group { S_ISUID } else { S_ISUID | S_ISGID };
        as_daemon(|| backing::chmod(object, stat.mode & !dropped))
    }
}
