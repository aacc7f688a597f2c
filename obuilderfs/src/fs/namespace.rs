//! Names: looking up, making, linking, renaming and removing them.
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::{Entry, FileSystem, Lookup, OpenFile, Place, control};
use crate::backing::{self, S_IFREG, S_ISGID};
use crate::caller::{Caller, act_with_groups, as_daemon, take_umask};
use crate::nodes::{CONTROL, ROOT};
use crate::platform;

impl FileSystem {
    /// Looks `name` up in `parent`. The kernel has checked that the caller may search `parent`.
    pub(crate) fn lookup(&self, caller: &Caller, parent: u64, name: &OsStr) -> Result<Lookup, Errno> {
        match parent {
            ROOT if name == control::NAME => return Self::control(caller),
            CONTROL => return self.enter(caller, name),
            _ => {}
        }
        if parent == ROOT {
            self.settle();
            if let Some(entry) = self.found_of_late(caller.uid, name) {
                return Ok(Lookup::Found(entry));
            }
        }
        let lots = self.changes.lots();
        let place = self.place(caller, parent)?;
        if place.at_root() {
            Self::may_search(caller, &place)?;
        }
        self.expect_move(caller, &place, name);
        match as_daemon(|| self.entry(&place, name)) {
            Ok(entry) => {
                if place.at_root() {
                    // It is found anew otherwise.
                    let _ = self.remember(caller.uid, &place, name, &entry, lots);
                } else if !entry.attributes.stat.is_dir() {
                    self.walkers.looked_up(caller.pid);
                }
                Ok(Lookup::Found(entry))
            }
            Err(Errno::ENOENT) if !place.at_root() => {
                Ok(Lookup::Absent(self.lifetimes(&place.view, place.covered).absence))
            }
            Err(e) => Err(e),
        }
    }

    /// Makes something in `place` as the caller, then looks it up.
    fn made(
        &self,
        caller: &Caller,
        place: &Place,
        name: &OsStr,
        mode: u32,
        mut make: impl FnMut() -> Result<(), Errno>,
    ) -> Result<Entry, Errno> {
        let uid = place.view.acting_uid(caller.uid);
        if mode & S_ISGID != 0 {
            act_with_groups(caller, uid, make)?;
        } else {
            place.act(caller, &mut make)?;
        }
        as_daemon(|| self.entry(place, name))
    }

    pub(crate) fn mkdir(
        &self,
        caller: &Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
        umask: u32,
    ) -> Result<Entry, Errno> {
        let place = self.place_of(caller, parent, name)?;
        take_umask(umask)?;
        self.made(caller, &place, name, mode, || backing::mkdir(place.dir.as_fd(), name, mode))
    }

    /// `device` is FUSE's 32-bit number.
    pub(crate) fn mknod(
        &self,
        caller: &Caller,
        parent: u64,
        name: &OsStr,
        (mode, umask): (u32, u32),
        device: u32,
    ) -> Result<Entry, Errno> {
        let place = self.place_of(caller, parent, name)?;
        take_umask(umask)?;
        self.made(caller, &place, name, mode, || backing::mknod(place.dir.as_fd(), name, mode, device))
    }

    pub(crate) fn symlink(
        &self,
        caller: &Caller,
        parent: u64,
        name: &OsStr,
        target: &OsStr,
    ) -> Result<Entry, Errno> {
        let place = self.place_of(caller, parent, name)?;
        self.made(caller, &place, name, 0, || backing::symlink(target, place.dir.as_fd(), name))
    }

    /// Gives the object `id` another name.
    pub(crate) fn link(&self, caller: &Caller, id: u64, parent: u64, name: &OsStr) -> Result<Entry, Errno> {
        let (view, object) = self.object(caller, id)?;
        let place = self.place_of(caller, parent, name)?;
        if !Arc::ptr_eq(&view, &place.view) {
            return Err(Errno::EXDEV);
        }
        let made =
            self.made(caller, &place, name, 0, || backing::link(object.as_fd(), place.dir.as_fd(), name))?;
        self.nodes.got_name(id);
        Ok(made)
    }

    pub(crate) fn readlink(&self, caller: &Caller, id: u64) -> Result<OsString, Errno> {
        let (_, object) = self.object(caller, id)?;
        backing::readlink(object.as_fd())
    }

    /// Creates and opens the file `name`, or opens it if it is there.
    pub(crate) fn create(
        &self,
        caller: &Caller,
        parent: u64,
        name: &OsStr,
        (mode, umask): (u32, u32),
        flags: i32,
    ) -> Result<(Entry, u64, Arc<OpenFile>), Errno> {
        let place = self.place_of(caller, parent, name)?;
        take_umask(umask)?;
        let uid = place.view.acting_uid(caller.uid);
        let share = self.shares.take(caller.uid)?;
        let wanted = OpenFile::flags(flags) | (OFlag::from_bits_retain(flags) & OFlag::O_EXCL);
        let create = || backing::undisturbed(|| backing::create(place.dir.as_fd(), name, wanted, mode));
        let opened: Result<OwnedFd, Errno> = if mode & S_ISGID != 0 {
            act_with_groups(caller, uid, create)
        } else {
            place.act(caller, create)
        };
        // A link, fifo or socket that came to lie there meanwhile: the kernel looks again, and opens it itself.
        let another = |e| matches!(e, Errno::ELOOP | Errno::ENXIO);
        let fd = opened.map_err(|e| if another(e) { Errno::ESTALE } else { e })?;
        let lots = self.changes.lots();
        let stat = backing::stat(fd.as_fd())?;
        if stat.kind() != S_IFREG {
            return Err(Errno::ESTALE);
        }
        let anchor = as_daemon(|| backing::anchor_of(fd.as_fd()))?;
        let (node, stat) = self.found_as(&place, anchor, (stat, lots))?;
        if place.at_root() {
            place.view.note_first_name(name);
        }
        let file = self.opened((fd, share), node, caller, flags);
        let entry = self.entry_of(&file.node, &stat, &place);
        Ok((entry, self.files.insert(Arc::clone(&file)), file))
    }

    pub(crate) fn unlink(&self, caller: &Caller, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let place = self.place_of(caller, parent, name)?;
        self.removing(caller, &place, (&place, name), || backing::unlink(place.dir.as_fd(), name))
    }

    pub(crate) fn rmdir(&self, caller: &Caller, parent: u64, name: &OsStr) -> Result<(), Errno> {
        if parent == CONTROL {
            return self.leave(caller, name);
        }
        let place = self.place_of(caller, parent, name)?;
        self.removing(caller, &place, (&place, name), || backing::rmdir(place.dir.as_fd(), name))
    }

    /// Does `remove` as the caller acts in `by`, by which `name` of `place` may lose what it names now.
    fn removing(
        &self,
        caller: &Caller,
        by: &Place,
        (place, name): (&Place, &OsStr),
        remove: impl FnMut() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let lost = as_daemon(|| backing::stat_at(place.dir.as_fd(), name)).ok();
        let departure = lost.and_then(|stat| self.nodes.losing_name(&place.view, &stat));
        by.act(caller, remove)?;
        if let Some(departure) = departure {
            self.nodes.lost_name(departure);
        }
        Ok(())
    }

    /// `flags` are those of `renameat2(2)`.
    pub(crate) fn rename(
        &self,
        caller: &Caller,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        flags: u32,
    ) -> Result<(), Errno> {
        let source = self.place_of(caller, from.0, from.1)?;
        let target = self.place_of(caller, to.0, to.1)?;
        if !Arc::ptr_eq(&source.view, &target.view) {
            return Err(Errno::EXDEV);
        }
        self.leave_below(caller, (&source, from.1), &target)?;
        if flags & platform::RENAME_EXCHANGE != 0 {
            self.leave_below(caller, (&target, to.1), &source)?;
        }
        // The kernel moves what it keeps with the names.
        for (place, name) in [(&source, from.1), (&target, to.1)].into_iter().filter(|(at, _)| at.at_root()) {
            place.view.note_first_name(name);
        }
        let rename = || backing::rename((source.dir.as_fd(), from.1), (target.dir.as_fd(), to.1), flags);
        let by = if source.at_root() { &source } else { &target };
        if flags == 0 { self.removing(caller, by, (&target, to.1), rename) } else { by.act(caller, rename) }
    }
}
