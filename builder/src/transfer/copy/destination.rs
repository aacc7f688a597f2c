//! The way to the destination of a `copy`: directories made on it, and the times of all that it touches.
use std::ffi::OsStr;
use std::io;

use nix::sys::stat::{Mode, fchmod, fstat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};

use super::super::TransferError;
use super::super::rooted::{Blocked, Place};
use super::CopyPlan;

/// The mode of directories a copy makes, whatever the umask.
pub(super) const DIRECTORY_MODE: Mode =
    Mode::S_IRWXU.union(Mode::S_IRGRP).union(Mode::S_IXGRP).union(Mode::S_IROTH).union(Mode::S_IXOTH);

pub(super) struct Destination<'a> {
    plan: &'a CopyPlan<'a>,
    touched: Vec<Touched>,
}

/// A directory, and the modification time it is to have in the end.
struct Touched {
    place: Place,
    mtime: TimeSpec,
    made: bool,
}

impl<'a> Destination<'a> {
    pub(super) fn new(plan: &'a CopyPlan<'a>) -> Self {
        Self { plan, touched: Vec::new() }
    }

    /// The directory `path` leads to inside `root`; what is missing of it is made.
    pub(super) fn reach(&mut self, root: &Place, path: &OsStr) -> Result<Place, TransferError> {
        let plan = self.plan;
        let place =
            root.walk(path, &mut |parent, name| self.make(parent, name)).map_err(|e| blocked(plan, e))?;
        self.keep(&place)?;
        Ok(place)
    }

    /// Notes the time `place` has now, to give it back in the end.
    pub(super) fn keep(&mut self, place: &Place) -> Result<(), TransferError> {
        self.note(place).map_err(|e| TransferError::io("read", shown(self.plan, place), e))
    }

    /// Whether `place` was missing before this copy.
    pub(super) fn was_made(&self, place: &Place) -> bool {
        self.touched.iter().any(|touched| touched.made && touched.place.path() == place.path())
    }

    /// Leaves the time of `place` as it is.
    pub(super) fn disown(&mut self, place: &Place) {
        self.touched.retain(|touched| touched.place.path() != place.path());
    }

    /// Gives every directory on the way its time.
    pub(super) fn settle(self) -> Result<(), TransferError> {
        for touched in &self.touched {
            futimens(touched.place.dir(), &TimeSpec::UTIME_OMIT, &touched.mtime)
                .map_err(|e| TransferError::io("set the time of", shown(self.plan, &touched.place), e))?;
        }
        Ok(())
    }

    fn note(&mut self, place: &Place) -> io::Result<()> {
        if self.touched.iter().all(|touched| touched.place.path() != place.path()) {
            let stat = fstat(place.dir())?;
            let mtime = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
            self.touched.push(Touched { place: place.clone(), mtime, made: false });
        }
        Ok(())
    }

    fn make(&mut self, parent: &Place, name: &OsStr) -> io::Result<()> {
        self.note(parent)?;
        let place = make_directory(parent, name)?;
        own_directory(&place, self.plan.owner)?;
        self.touched.push(Touched { place, mtime: TimeSpec::new(0, 0), made: true });
        Ok(())
    }
}

/// Makes the directory `name`, ours alone until it has its owner.
pub(super) fn make_directory(parent: &Place, name: &OsStr) -> io::Result<Place> {
    mkdirat(parent.dir(), name, Mode::S_IRWXU)?;
    Ok(parent.open_child(name)?)
}

/// Gives a directory that was made its owner and mode.
pub(super) fn own_directory(place: &Place, owner: (u32, u32)) -> io::Result<()> {
    fchown(place.dir(), Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
    Ok(fchmod(place.dir(), DIRECTORY_MODE)?)
}

/// Where `place` lies on the host, for messages.
pub(super) fn shown(plan: &CopyPlan<'_>, place: &Place) -> std::path::PathBuf {
    plan.rootfs.join(place.path().strip_prefix("/").unwrap_or(&place.path()))
}

/// Why the destination `dst` of `plan` cannot be reached.
pub(super) fn blocked(plan: &CopyPlan<'_>, why: Blocked) -> TransferError {
    let path = plan.dst.to_owned();
    match why {
        Blocked::NotADirectory(part) => TransferError::NotADirectory { path, part },
        Blocked::LinkLoop => TransferError::LinkLoop { path },
        Blocked::Io(part, error) => {
            let part = part.strip_prefix("/").unwrap_or(&part).to_owned();
            TransferError::io("reach", plan.rootfs.join(part), error)
        }
    }
}
