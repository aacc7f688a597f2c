//! Reading directories.
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use parking_lot::Mutex;

use super::root::act_at;
use super::shares::Share;
use super::{Entry, FileSystem, Place};
use crate::backing::{self, DirEntry, DirStream, S_IFDIR};
use crate::caller::{Caller, as_daemon};
use crate::nodes::{CONTROL, Node, ROOT, Where, usual_id};
use crate::view::View;

/// A directory some process is reading.
#[derive(Debug)]
pub(crate) struct OpenDir {
    id: u64,
    /// Nothing is listed in the control directory.
    of: Option<(Arc<View>, Mutex<DirStream>)>,
    /// None of the root and of the control directory.
    node: Option<Arc<Node>>,
    _share: Share,
}

impl Drop for OpenDir {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            node.closed();
        }
    }
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
            return Ok((
                self.directories.insert(Arc::new(OpenDir { id, of: None, node: None, _share: share })),
                false,
            ));
        }
        let (view, object) = self.object(caller, id)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let uid = view.acting_uid(caller.uid);
        let fd = act_at(id, caller, uid, || backing::reopen(object.as_fd(), flags))?;
        let node = if id == ROOT { None } else { Some(self.nodes.get(id)?) };
        let covered = node.as_ref().is_some_and(|node| node.is_covered());
        let keep = view.private || covered;
        if let Some(node) = &node {
            node.opened();
            self.forget_first(node);
            if covered {
                node.note_cached();
            }
        }
        let open = OpenDir { id, of: Some((view, Mutex::new(DirStream::new(fd)))), node, _share: share };
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

impl FileSystem {
    /// As [`FileSystem::readdir`], and looks entries up for those who would do it themselves: to `add` goes with
    /// the entry what a look-up of its name would have given, counted as one. Nothing is looked up in the root,
    /// where a name is another user's object in the next moment, nor where the kernel may keep nothing.
    pub(crate) fn readdir_looked_up(
        &self,
        caller: &Caller,
        handle: u64,
        position: u64,
        mut add: impl FnMut(&Listed<'_>, Option<&Entry>) -> bool,
    ) -> Result<(), Errno> {
        let open = self.directories.get(handle)?;
        if open.id == ROOT || open.id == CONTROL {
            return self.readdir(handle, position, |entry| add(entry, None));
        }
        let Some(place) = self.worth_looking_up(caller, open.id) else {
            let mut files = 0;
            let listed = self.readdir(handle, position, |entry| {
                files += u32::from(entry.kind != S_IFDIR);
                add(entry, None)
            });
            self.walkers.listed(caller.pid, files);
            return listed;
        };
        self.readdir(handle, position, |entry| {
            let own = entry.name == "." || entry.name == "..";
            let found = if own { None } else { as_daemon(|| self.entry(&place, entry.name)).ok() };
            let taken = add(entry, found.as_ref());
            if let Some(found) = found.filter(|_| !taken) {
                self.nodes.forget(found.attributes.stat.ino, 1);
            }
            taken
        })
    }

    /// The directory `id`, if what is in it should be looked up while the caller lists it.
    fn worth_looking_up(&self, caller: &Caller, id: u64) -> Option<Place> {
        if !self.walkers.wants_look_ups(caller.pid) {
            return None;
        }
        self.place(caller, id).ok().filter(|place| self.found_in(place) == Where::Kept)
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
