//! Reading directories.
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use parking_lot::Mutex;

use super::FileSystem;
use super::root::act_at;
use super::shares::Share;
use crate::backing::{self, DirEntry, DirStream};
use crate::caller::Caller;
use crate::nodes::{CONTROL, ROOT, usual_id};
use crate::view::View;

/// A directory some process is reading.
#[derive(Debug)]
pub(crate) struct OpenDir {
    id: u64,
    /// Nothing is listed in the control directory.
    of: Option<(Arc<View>, Mutex<DirStream>)>,
    _share: Share,
}

/// An entry as the kernel is told of it.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) ino: u64,
    /// Where reading goes on after it.
    pub(crate) position: u64,
    /// Type bits, 0 if unknown.
    pub(crate) kind: u32,
    pub(crate) name: &'a OsStr,
}

impl FileSystem {
    /// Opens the directory `id` as the caller. Says whether the kernel may keep the listing.
    pub(crate) fn opendir(&self, caller: &Caller, id: u64) -> Result<(u64, bool), Errno> {
        let share = self.shares.take(caller.uid)?;
        if id == CONTROL {
            return Ok((self.directories.insert(Arc::new(OpenDir { id, of: None, _share: share })), false));
        }
        let (view, object) = self.object(caller, id)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let uid = view.acting_uid(caller.uid);
        let fd = act_at(id, caller, uid, || backing::reopen(object.as_fd(), flags))?;
        let keep = view.private || id != ROOT && self.nodes.get(id)?.is_covered();
        let open = OpenDir { id, of: Some((view, Mutex::new(DirStream::new(fd)))), _share: share };
        Ok((self.directories.insert(Arc::new(open)), keep))
    }

    pub(crate) fn releasedir(&self, handle: u64) {
        drop(self.directories.remove(handle));
    }

    pub(crate) fn fsyncdir(&self, handle: u64, data_only: bool) -> Result<(), Errno> {
        let open = self.directories.get(handle)?;
        let Some((_, stream)) = &open.of else { return Ok(()) };
        backing::sync(stream.lock().fd().as_fd(), data_only)
    }

    /// Lists entries after `position` until `add` says that it has no room for one.
    pub(crate) fn readdir(
        &self,
        handle: u64,
        position: u64,
        mut add: impl FnMut(&Listed<'_>) -> bool,
    ) -> Result<(), Errno> {
        let open = self.directories.get(handle)?;
        let Some((view, stream)) = &open.of else { return Ok(()) };
        let mut stream = stream.lock();
        stream.seek(position.cast_signed())?;
        stream.read(|entry| add(&listed(open.id, view, entry)))
    }
}

fn listed<'a>(dir: u64, view: &View, entry: &DirEntry<'a>) -> Listed<'a> {
    let own = entry.name == "." || (entry.name == ".." && dir == ROOT);
    Listed {
        ino: if own { dir } else { usual_id(view, entry.ino) },
        position: entry.position.cast_unsigned(),
        kind: entry.kind,
        name: entry.name,
    }
}
