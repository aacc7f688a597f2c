//! Removes a tree, whatever a step left in it.
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::TransferError;
use super::descent::{DIRECTORY, Descent, Entry, entries};
use super::system;

/// Removes the directory `root` and all below it. A link is removed, not followed. What is mounted below is
/// not entered, and is an error: its files are somebody else's. Nothing at `root` is fine.
///
/// # Errors
/// Something cannot be removed: the error names it. What was removed until then is gone.
pub fn remove_tree(root: &Path) -> Result<(), TransferError> {
    let fd = match open(root, DIRECTORY, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            return std::fs::remove_file(root).map_err(|e| TransferError::io("remove", root, e));
        }
        Err(error) => return Err(TransferError::io("remove", root, error)),
    };
    let failed = |error: io::Error| TransferError::io("remove", root, error);
    let names = entries(fd.as_fd()).map_err(failed)?;
    Removal::new(root, fd, names).run()?;
    std::fs::remove_dir(root).map_err(failed)
}

/// Removes `name` in `dir`, whatever it is; `path` is that of `dir`, for messages.
pub(super) fn remove_entry(dir: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), TransferError> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(error) => {
            return Err(TransferError::io("remove", path.join(OsStr::from_bytes(name.to_bytes())), error));
        }
    }
    let here = openat(dir, c".", DIRECTORY, Mode::empty()).map_err(|e| TransferError::io("open", path, e))?;
    let only = Entry { name: name.to_owned(), kind: Some(Type::Directory) };
    Removal::new(path, here, vec![only]).run()
}

struct Removal<'a> {
    root: &'a Path,
    dirs: Descent,
    /// The name of each open directory, and what is left in it.
    frames: Vec<(CString, IntoIter<Entry>)>,
}

impl<'a> Removal<'a> {
    fn new(root: &'a Path, dir: OwnedFd, names: Vec<Entry>) -> Self {
        Self { root, dirs: Descent::new(dir), frames: vec![(CString::default(), names.into_iter())] }
    }

    fn run(&mut self) -> Result<(), TransferError> {
        while let Some((_, rest)) = self.frames.last_mut() {
            match rest.next() {
                Some(entry) => self.entry(entry)?,
                None => self.finish()?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), TransferError> {
        if entry.kind != Some(Type::Directory) {
            match unlinkat(self.dirs.here(), entry.name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => return Ok(()),
                // EPERM is what POSIX says for a directory; it may also be a file that is marked immutable.
                Err(Errno::EISDIR | Errno::EPERM) if entry.kind.is_none() => {}
                Err(error) => return Err(self.failed(&entry.name, error)),
            }
        }
        self.enter(entry.name)
    }

    fn enter(&mut self, name: CString) -> Result<(), TransferError> {
        let child = match system::open_same_mount(self.dirs.here(), &name) {
            Ok(child) => child,
            Err(Errno::EXDEV) => {
                return Err(self.failed(&name, io::Error::other("something is mounted there")));
            }
            Err(error) => return Err(self.failed(&name, error)),
        };
        let names = entries(child.as_fd()).map_err(|e| self.failed(&name, e))?;
        self.dirs.enter(child).map_err(|e| self.failed(&name, e))?;
        self.frames.push((name, names.into_iter()));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TransferError> {
        let Some((name, _)) = self.frames.pop() else { return Ok(()) };
        if self.frames.is_empty() {
            return Ok(());
        }
        self.dirs.leave().map_err(|e| self.failed(&name, e))?;
        unlinkat(self.dirs.here(), name.as_c_str(), UnlinkatFlags::RemoveDir)
            .map_err(|e| self.failed(&name, e))
    }

    fn failed(&self, name: &CStr, error: impl Into<io::Error>) -> TransferError {
        let mut path: PathBuf = self.root.to_owned();
        path.extend(self.frames.iter().skip(1).map(|(dir, _)| OsStr::from_bytes(dir.to_bytes())));
        path.push(OsStr::from_bytes(name.to_bytes()));
        TransferError::io("remove", path, error)
    }
}

#[cfg(test)]
mod tests;
