//! Mount points in a tree: made where they are missing, and removed again, so that the image keeps no trace.
//!
//! A runtime would make them itself, and leave them.
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{SandboxError, prepare};
use crate::transfer::rooted::{Blocked, Place};

/// Links at a mount point followed before they count as endless.
const MOST_LINKS: usize = 40;

/// What was made in a tree.
#[derive(Default)]
pub(super) struct Points {
    made: Vec<Made>,
    touched: Vec<Touched>,
}

/// A name that was not there before.
struct Made {
    parent: Place,
    name: OsString,
    kind: UnlinkatFlags,
    inode: libc::ino_t,
}

/// A directory that something was made in, and its times before and after.
struct Touched {
    place: Place,
    before: FileStat,
    after: Option<FileStat>,
}

impl Points {
    /// Makes an empty file at each of `targets` that is missing in the tree `rootfs`.
    pub(super) fn make<'a>(
        rootfs: &Path,
        targets: impl Iterator<Item = &'a Path>,
    ) -> Result<Self, SandboxError> {
        let root = root(rootfs)?;
        let mut points = Self::default();
        for target in targets {
            points.point(&root, target).map_err(|why| unusable("show a file at", target, why))?;
        }
        for touched in &mut points.touched {
            touched.after = fstat(touched.place.dir()).ok();
        }
        Ok(points)
    }

    fn point(&mut self, root: &Place, target: &Path) -> Result<(), Blocked> {
        let (mut from, mut path) = (root.clone(), target.as_os_str().to_owned());
        for _ in 0..MOST_LINKS {
            let (parent, name) = split(&path).ok_or_else(|| not_a_file(target))?;
            let parent = from.walk(parent, &mut |parent, name| self.directory(parent, name))?;
            match fstatat(parent.dir(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => {
                    return self.file(&parent, name).map_err(|e| Blocked::Io(target.to_owned(), e));
                }
                Err(errno) => return Err(Blocked::Io(target.to_owned(), errno.into())),
                Ok(stat) if stat.st_mode & libc::S_IFMT == libc::S_IFDIR => return Err(not_a_file(target)),
                Ok(stat) if stat.st_mode & libc::S_IFMT != libc::S_IFLNK => return Ok(()),
                Ok(_) => {}
            }
            let goal = readlinkat(parent.dir(), name);
            path = goal.map_err(|errno| Blocked::Io(target.to_owned(), errno.into()))?;
            from = parent;
        }
        Err(Blocked::LinkLoop)
    }

    fn directory(&mut self, parent: &Place, name: &OsStr) -> io::Result<()> {
        self.touch(parent)?;
        make_directory(parent, name)?;
        self.note(parent, name, UnlinkatFlags::RemoveDir)
    }

    fn file(&mut self, parent: &Place, name: &OsStr) -> io::Result<()> {
        self.touch(parent)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(parent.dir(), name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        self.note(parent, name, UnlinkatFlags::NoRemoveDir)
    }

    /// Notes a name that is there now.
    fn note(&mut self, parent: &Place, name: &OsStr, kind: UnlinkatFlags) -> io::Result<()> {
        let inode = fstatat(parent.dir(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_ino;
        self.made.push(Made { parent: parent.clone(), name: name.to_owned(), kind, inode });
        Ok(())
    }

    fn touch(&mut self, place: &Place) -> io::Result<()> {
        if self.touched.iter().all(|touched| touched.place.path() != place.path()) {
            let before = fstat(place.dir())?;
            self.touched.push(Touched { place: place.clone(), before, after: None });
        }
        Ok(())
    }

    /// Removes what was made. What the step has put to use stays: a file that is no longer empty, a directory
    /// with something in it. A directory that the step did not change gets its time back.
    pub(super) fn remove(mut self) -> Result<(), SandboxError> {
        self.undo().map_err(|e| prepare("remove the mount points of the step".to_owned(), e))
    }

    fn undo(&mut self) -> io::Result<()> {
        let is_unchanged = |touched: &Touched| {
            let now = fstat(touched.place.dir()).ok();
            now.zip(touched.after).is_some_and(|(now, after)| modified(&now) == modified(&after))
        };
        let unchanged: Vec<bool> = self.touched.iter().map(is_unchanged).collect();
        for made in std::mem::take(&mut self.made).iter().rev() {
            made.remove()?;
        }
        for (touched, _) in std::mem::take(&mut self.touched).iter().zip(unchanged).filter(|(_, same)| *same)
        {
            futimens(touched.place.dir(), &TimeSpec::UTIME_OMIT, &modified(&touched.before))?;
        }
        Ok(())
    }
}

/// What is not removed in order, as when the step is stopped, is removed all the same.
impl Drop for Points {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            tracing::debug!("a mount point stays: {error}");
        }
    }
}

impl Made {
    fn remove(&self) -> io::Result<()> {
        let ours = match fstatat(self.parent.dir(), self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat.st_ino == self.inode && (self.is_directory() || stat.st_size == 0),
            Err(_) => false,
        };
        if !ours {
            return Ok(());
        }
        match unlinkat(self.parent.dir(), self.name.as_os_str(), self.kind) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn is_directory(&self) -> bool {
        matches!(self.kind, UnlinkatFlags::RemoveDir)
    }
}

/// The directory that `path` leads to in the tree `rootfs`, as an absolute path of the tree; made, for root,
/// where it is missing.
pub(super) fn working_directory(rootfs: &Path, path: &Path) -> Result<PathBuf, SandboxError> {
    let place = root(rootfs)?.walk(path.as_os_str(), &mut make_directory);
    Ok(place.map_err(|why| unusable("work in", path, why))?.path())
}

/// Checks that a directory can be shown at `target` in the tree `rootfs`: what is there already is one, and not the
/// whole tree.
pub(super) fn check_directory(rootfs: &Path, target: &Path) -> Result<(), SandboxError> {
    match root(rootfs)?.walk(target.as_os_str(), &mut |_, _| Err(io::ErrorKind::NotFound.into())) {
        Ok(place) if place.path() == Path::new("/") => Err(SandboxError::Unusable {
            what: format!("(target {})", target.display()),
            reason: "it would cover the whole image".to_owned(),
        }),
        Ok(_) => Ok(()),
        Err(Blocked::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(unusable("show a directory at", target, why)),
    }
}

fn make_directory(parent: &Place, name: &OsStr) -> io::Result<()> {
    mkdirat(parent.dir(), name, Mode::S_IRWXU)?;
    let mode = Mode::S_IRWXU | Mode::S_IRGRP | Mode::S_IXGRP | Mode::S_IROTH | Mode::S_IXOTH;
    Ok(fchmod(parent.open_child(name)?.dir(), mode)?)
}

fn root(rootfs: &Path) -> Result<Place, SandboxError> {
    Place::root(rootfs).map_err(|e| prepare(format!("open {}", rootfs.display()), e.desc()))
}

fn modified(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}

/// The directory part, empty or ending in `/`, and the last name, if it can be a file's.
fn split(path: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = path.as_bytes();
    let (dir, name) = bytes.split_at(bytes.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1));
    let is_name = !matches!(name, b"" | b"." | b"..");
    is_name.then_some((OsStr::from_bytes(dir), OsStr::from_bytes(name)))
}

fn not_a_file(target: &Path) -> Blocked {
    Blocked::Io(target.to_owned(), io::ErrorKind::IsADirectory.into())
}

fn unusable(verb: &str, path: &Path, why: Blocked) -> SandboxError {
    SandboxError::Unusable { what: format!("cannot {verb} {}", path.display()), reason: why.to_string() }
}

#[cfg(test)]
mod tests;
