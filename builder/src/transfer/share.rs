//! Lets a tree share the files that are the same in another, as hard links: they take no space a second time.
//!
//! Neither tree may be written to afterwards. What has several names in the tree already stays as it is.
use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::linkat;

use super::TransferError;
use super::descent::{DIRECTORY, Descent, Entry, entries};
use super::interrupt;
use super::same::{same_bytes, same_metadata};

/// When two files count as the same. Owner, mode, time of change and extended attributes are the same in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// Their bytes are the same.
    Bytes,
    /// Their sizes are: a file that was changed and given its old time again is taken for the old one.
    Size,
}

/// Makes the files of `tree` that are the same in `base`, under the same path, links to those. `spare` is a name
/// on the same file system that is free.
///
/// # Errors
/// Something cannot be read, or changed in `tree`: the error names it. The tree is whole all the same.
pub fn share_files(base: &Path, tree: &Path, spare: &Path, alike: Alike) -> Result<(), TransferError> {
    let root = |path| open(path, DIRECTORY, Mode::empty()).map_err(|e| TransferError::io("open", path, e));
    let (base_root, tree_root) = (root(base)?, root(tree)?);
    let mut sharing = Sharing {
        root: tree,
        spare,
        alike,
        base: Descent::new(base_root),
        tree: Descent::new(tree_root),
        path: PathBuf::new(),
        frames: Vec::new(),
        shared: HashSet::new(),
    };
    sharing.start()?;
    sharing.run()
}

struct Sharing<'a> {
    root: &'a Path,
    spare: &'a Path,
    alike: Alike,
    base: Descent,
    tree: Descent,
    path: PathBuf,
    frames: Vec<Frame>,
    /// What has become a file of the tree: to make it two would make two files of the tree one.
    shared: HashSet<(libc::dev_t, libc::ino_t)>,
}

struct Frame {
    rest: IntoIter<Entry>,
    stat: FileStat,
    changed: bool,
}

impl Sharing<'_> {
    fn run(&mut self) -> Result<(), TransferError> {
        while let Some(frame) = self.frames.last_mut() {
            match frame.rest.next() {
                Some(entry) => self.entry(&entry)?,
                None => self.leave()?,
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), TransferError> {
        let here = self.tree.here();
        let stat = fstat(here).map_err(|e| self.failed("read", c"", e))?;
        let rest = entries(here).map_err(|e| self.failed("read", c"", e))?.into_iter();
        self.frames.push(Frame { rest, stat, changed: false });
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), TransferError> {
        let name = entry.name.as_c_str();
        interrupt::check().map_err(|e| self.failed("read", name, e))?;
        match entry.kind {
            Some(Type::File) | None => match self.file(name) {
                Ok(shared) => {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.changed |= shared;
                    }
                    if !shared && entry.kind.is_none() { self.enter(name) } else { Ok(()) }
                }
                Err(error) => Err(self.failed("share", name, error)),
            },
            Some(Type::Directory) => self.enter(name),
            Some(_) => Ok(()),
        }
    }

    /// Goes into a directory that both have.
    fn enter(&mut self, name: &CStr) -> Result<(), TransferError> {
        let both =
            [self.tree.here(), self.base.here()].map(|dir| openat(dir, name, DIRECTORY, Mode::empty()));
        let [Ok(tree), Ok(base)] = both else { return Ok(()) };
        self.tree.enter(tree).map_err(|e| self.failed("read", name, e))?;
        self.base.enter(base).map_err(|e| self.failed("read", name, e))?;
        self.path.push(OsStr::from_bytes(name.to_bytes()));
        self.start()
    }

    /// Goes back up, and gives the directory the times it had.
    fn leave(&mut self) -> Result<(), TransferError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        if frame.changed {
            let stat = frame.stat;
            let accessed = TimeSpec::new(stat.st_atime, stat.st_atime_nsec);
            let modified = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
            futimens(self.tree.here(), &accessed, &modified).map_err(|e| self.failed("write", c"", e))?;
        }
        self.tree.leave().map_err(|e| self.failed("read", c"", e))?;
        self.base.leave().map_err(|e| self.failed("read", c"", e))?;
        self.path.pop();
        Ok(())
    }

    /// Shares the file `name`, if it is the same in both. Whether it did.
    fn file(&mut self, name: &CStr) -> io::Result<bool> {
        let both = [self.tree.here(), self.base.here()].map(|dir| file(dir, name));
        let [Some(ours), Some(theirs)] = both else { return Ok(false) };
        let (our_stat, their_stat) = (fstat(&ours)?, fstat(&theirs)?);
        let key = (their_stat.st_dev, their_stat.st_ino);
        let may =
            is_file(&our_stat) && is_file(&their_stat) && our_stat.st_nlink == 1 && our_stat.st_dev == key.0;
        if !may || self.shared.contains(&key) {
            return Ok(false);
        }
        let (ours, theirs) = (ours.as_fd(), theirs.as_fd());
        if !same_metadata(ours, &our_stat, theirs, &their_stat)?
            || (self.alike == Alike::Bytes && !same_bytes(ours, theirs, &our_stat)?)
        {
            return Ok(false);
        }
        match linkat(self.base.here(), name, nix::fcntl::AT_FDCWD, self.spare, AtFlags::empty()) {
            // As many as the file system allows, or none, as it has no links: it stays a copy.
            Err(Errno::EMLINK | Errno::EPERM | Errno::EOPNOTSUPP | Errno::EXDEV) => return Ok(false),
            linked => linked?,
        }
        renameat(nix::fcntl::AT_FDCWD, self.spare, self.tree.here(), name)?;
        self.shared.insert(key);
        Ok(true)
    }

    fn failed(&self, action: &'static str, name: &CStr, error: impl Into<io::Error>) -> TransferError {
        let mut path = self.root.join(&self.path);
        if !name.is_empty() {
            path.push(OsStr::from_bytes(name.to_bytes()));
        }
        TransferError::io(action, path, error)
    }
}

/// Opens the file `name`; `None` if there is none, or it is not for us.
fn file(dir: BorrowedFd<'_>, name: &CStr) -> Option<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty()).ok()
}

fn is_file(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

#[cfg(test)]
mod tests;
