//! Files that are made without a name (`O_TMPFILE`), and may get one by `linkat(2)`.
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::{Attributes, FileSystem, OpenFile};
use crate::backing::{self, S_ISGID};
use crate::caller::{Caller, act_with_groups, as_daemon, take_umask};
use crate::nodes::Where;

impl FileSystem {
    /// Makes and opens a file in `parent` that has no name, as the caller. The kernel sees to it that one opened
    /// with `O_EXCL` never gets one.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the file system below has no such files.
    pub(crate) fn create_nameless(
        &self,
        caller: &Caller,
        parent: u64,
        (mode, umask): (u32, u32),
        flags: i32,
    ) -> Result<(Attributes, u64, Arc<OpenFile>), Errno> {
        let place = self.place(caller, parent)?;
        take_umask(umask)?;
        let share = self.shares.take(caller.uid)?;
        let wanted = OpenFile::flags(flags) | (OFlag::from_bits_retain(flags) & OFlag::O_EXCL);
        let create = || backing::create_nameless(place.dir.as_fd(), wanted, mode);
        let fd = if mode & S_ISGID != 0 {
            act_with_groups(caller, place.view.acting_uid(caller.uid), create)
        } else {
            place.act(caller, create)
        }?;
        let stat = backing::stat(fd.as_fd())?;
        let anchor = as_daemon(|| backing::anchor_of(fd.as_fd()))?;
        let node = self.nodes.found(&place.view, anchor, &stat, Where::Nowhere)?;
        let file = self.opened((fd, share), node, caller, flags);
        let shown = self.shown(&file.node, &stat);
        Ok((shown, self.files.insert(Arc::clone(&file)), file))
    }
}
