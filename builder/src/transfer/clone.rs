//! Clones a tree: the same names, bytes, modes, owners, times, attributes and hard links, at little cost.
//!
//! Where the file system can share blocks (btrfs, xfs, APFS), a file costs no data at all. Whatever is equal
//! to what creation gives anyway (owner, mode) is not set again: a step pays for each call on each file.
//! A large tree is cloned by several threads (`crew`).
mod crew;
mod links;
mod metadata;
mod objects;
mod onto;

use std::cell::Cell;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::vec::IntoIter;

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, fstat, mkdirat};

use super::TransferError;
use super::descent::{DIRECTORY, Descent, Entry, entries, lstat};
use super::interrupt;
use super::system::Reflink;
use crew::{Crew, Portion};
use links::Links;
use metadata::Metadata;

pub(super) use metadata::attributes;

/// Gives what belongs to one user to another: a base image's files to the build's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reown {
    /// The user whose files change hands.
    pub from: u32,
    /// Their owner in the clone.
    pub uid: u32,
    /// Their group in the clone.
    pub gid: u32,
}

/// Clones the directory `from` (or that a link of this name leads to) with all that is in it to `to`, which is
/// made, or is an empty directory.
/// Sockets and fifos are left out on macOS, which cannot make them safely.
///
/// # Errors
/// Something cannot be read or written: the error names it. What was cloned until then stays.
pub fn clone_tree(from: &Path, to: &Path, reown: Option<Reown>) -> Result<(), TransferError> {
    run(from, to, reown, false)
}

/// Makes the directory `to` the same as `from`. What is the same already stays as it is, and shares its blocks
/// with whatever it shared them with.
///
/// # Errors
/// Something cannot be read or written: the error names it. What was made the same until then stays so.
pub fn clone_onto(from: &Path, to: &Path) -> Result<(), TransferError> {
    run(from, to, None, true)
}

/// Gives the directory `to` the owner, mode, attributes and times of the directory `from`, and nothing in it.
///
/// # Errors
/// One of them cannot be opened, or `to` not be changed.
pub fn clone_directory_itself(from: &Path, to: &Path) -> Result<(), TransferError> {
    let source = open(from, DIRECTORY, Mode::empty()).map_err(|e| TransferError::io("open", from, e))?;
    let stat = fstat(&source).map_err(|e| TransferError::io("read", from, e))?;
    let target = make_root(to, false).map_err(|e| TransferError::io("make the directory", to, e))?;
    let set = Metadata::new(None).directory(source.as_fd(), target.as_fd(), &stat);
    set.map_err(|e| TransferError::io("write", to, e))
}

fn run(from: &Path, to: &Path, reown: Option<Reown>, onto: bool) -> Result<(), TransferError> {
    let source = open(from, DIRECTORY.difference(OFlag::O_NOFOLLOW), Mode::empty())
        .map_err(|e| TransferError::io("open", from, e))?;
    let target = make_root(to, onto).map_err(|e| TransferError::io("make the directory", to, e))?;
    let root = target.try_clone().map_err(|e| TransferError::io("open", to, e))?;
    let whole = Whole {
        from,
        to,
        onto,
        root,
        links: Links::default(),
        metadata: Metadata::new(reown),
        crew: Crew::default(),
    };
    let first = Portion { source, target, path: Vec::new(), reflink: Reflink::Unknown };
    thread::scope(|scope| whole.crew.work(&whole, first, scope))
}

/// The directory at `to`, stripped of what it would hand down to what is made in it: its group and default ACL.
fn make_root(to: &Path, onto: bool) -> io::Result<OwnedFd> {
    match nix::unistd::mkdir(to, Mode::S_IRWXU) {
        Err(Errno::EEXIST) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let root = open(to, DIRECTORY, Mode::empty())?;
    if !onto {
        metadata::stop_inheritance(root.as_fd())?;
    }
    Ok(root)
}

/// A clone, as all threads that work on it see it.
struct Whole<'a> {
    from: &'a Path,
    to: &'a Path,
    /// Whether something may be in the clone's place already.
    onto: bool,
    /// The root of the clone.
    root: OwnedFd,
    links: Links,
    metadata: Metadata,
    crew: Crew,
}

/// What one thread works on: a directory with all below it, but for what it leaves to others.
struct Cloning<'a> {
    whole: &'a Whole<'a>,
    /// Below both roots: the directory being cloned.
    path: Vec<u8>,
    frames: Vec<Frame>,
    source: Descent,
    target: Descent,
    reflink: Reflink,
}

/// A directory whose entries are not all cloned yet.
struct Frame {
    rest: IntoIter<Entry>,
    stat: FileStat,
    /// Length of the path of the directory above.
    parent_len: usize,
    /// Whether a directory that was there already is ready for new names.
    ready: Cell<bool>,
}

impl<'a> Cloning<'a> {
    fn new(whole: &'a Whole<'a>, portion: Portion) -> Self {
        Self {
            whole,
            path: portion.path,
            frames: Vec::new(),
            source: Descent::new(portion.source),
            target: Descent::new(portion.target),
            reflink: portion.reflink,
        }
    }

    /// Clones it. `counted` is told of each entry, and says whether to go on.
    fn run(&mut self, mut counted: impl FnMut() -> bool) -> Result<(), TransferError> {
        self.start_directory(self.path.len())?;
        while let Some(frame) = self.frames.last_mut() {
            match frame.rest.next() {
                Some(_) if !counted() => return Ok(()),
                Some(entry) => self.entry(&entry)?,
                None => self.finish_directory()?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), TransferError> {
        let name = entry.name.as_c_str();
        interrupt::check().map_err(|e| self.unread(name, e))?;
        let kind = match entry.kind {
            Some(kind) => kind,
            None => self.kind(name)?,
        };
        match kind {
            Type::File => self.file(name),
            Type::Directory => self.directory(name),
            Type::Symlink => self.symlink(name),
            _ => self.node(name),
        }
    }

    /// What `name` is, where the directory does not say it.
    fn kind(&self, name: &CStr) -> Result<Type, TransferError> {
        let stat = lstat(self.source.here(), name).map_err(|e| self.unread(name, e))?;
        Ok(match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => Type::File,
            libc::S_IFDIR => Type::Directory,
            libc::S_IFLNK => Type::Symlink,
            _ => Type::Fifo,
        })
    }

    fn directory(&mut self, name: &CStr) -> Result<(), TransferError> {
        let source =
            openat(self.source.here(), name, DIRECTORY, Mode::empty()).map_err(|e| self.unread(name, e))?;
        let target = self.make_directory(name)?;
        let parent_len = self.path.len();
        self.push_name(name);
        if self.whole.crew.wants_more() {
            let path = self.path.clone();
            self.path.truncate(parent_len);
            self.whole.crew.give(Portion { source, target, path, reflink: self.reflink });
            return Ok(());
        }
        self.source.enter(source).map_err(|e| self.unread(c"", e))?;
        self.target.enter(target).map_err(|e| self.unwritten(c"", e))?;
        self.start_directory(parent_len)
    }

    /// Makes the directory `name`, for us alone as yet.
    fn make_directory(&self, name: &CStr) -> Result<OwnedFd, TransferError> {
        let here = self.target.here();
        if let Some(there) = self.directory_in_place(name)? {
            return Ok(there);
        }
        mkdirat(here, name, Mode::S_IRWXU).map_err(|e| self.unwritten(name, e))?;
        openat(here, name, DIRECTORY, Mode::empty()).map_err(|e| self.unwritten(name, e))
    }

    fn start_directory(&mut self, parent_len: usize) -> Result<(), TransferError> {
        let here = self.source.here();
        let stat = fstat(here).map_err(|e| self.unread(c"", e))?;
        let found = entries(here).map_err(|e| self.unread(c"", e))?;
        self.clear_others(&found)?;
        self.frames.push(Frame { rest: found.into_iter(), stat, parent_len, ready: Cell::new(false) });
        Ok(())
    }

    /// Sets what belongs to the directory itself, now that no name in it is made any more.
    fn finish_directory(&mut self) -> Result<(), TransferError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        self.directory_itself(&frame.stat).map_err(|e| self.unwritten(c"", e))?;
        self.source.leave().map_err(|e| self.unread(c"", e))?;
        self.target.leave().map_err(|e| self.unwritten(c"", e))?;
        self.path.truncate(frame.parent_len);
        Ok(())
    }

    fn directory_itself(&self, stat: &FileStat) -> io::Result<()> {
        if self.is_same_directory(stat)? {
            return Ok(());
        }
        self.make_new()?;
        self.whole.metadata.directory(self.source.here(), self.target.here(), stat)
    }

    fn push_name(&mut self, name: &CStr) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
    }

    fn unread(&self, name: &CStr, error: impl Into<io::Error>) -> TransferError {
        TransferError::io("read", self.below(self.whole.from, name), error)
    }

    fn unwritten(&self, name: &CStr, error: impl Into<io::Error>) -> TransferError {
        TransferError::io("write", self.below(self.whole.to, name), error)
    }

    fn below(&self, root: &Path, name: &CStr) -> PathBuf {
        let mut path = root.to_owned();
        for part in [self.path.as_slice(), name.to_bytes()] {
            if !part.is_empty() {
                path.push(OsStr::from_bytes(part));
            }
        }
        path
    }
}

#[cfg(test)]
mod tests;
