//! Clones a tree: the same names, bytes, modes, owners, times, attributes and hard links, at little cost.
//!
//! Where the file system can share blocks (btrfs, xfs, APFS), a file costs no data at all. Whatever is equal
//! to what creation gives anyway (owner, mode) is not set again: a step pays for each call on each file.
mod links;
mod metadata;

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, fstat, mkdirat};

use super::TransferError;
use super::data::copy_bytes;
use super::descent::{DIRECTORY, Descent, Entry, entries, lstat};
use super::interrupt;
use super::system::{self, Reflink};
use metadata::Metadata;

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
    let source = open(from, DIRECTORY.difference(OFlag::O_NOFOLLOW), Mode::empty())
        .map_err(|e| TransferError::io("open", from, e))?;
    let target = make_root(to).map_err(|e| TransferError::io("make the directory", to, e))?;
    let mut cloning = Cloning {
        from,
        to,
        path: Vec::new(),
        frames: Vec::new(),
        source: Descent::new(source),
        target: Descent::new(target),
        reflink: Reflink::Unknown,
        linked: HashMap::new(),
        metadata: Metadata::new(reown),
    };
    cloning.start_directory(0)?;
    cloning.run()
}

/// The directory at `to`, stripped of what it would hand down to what is made in it: its group and default ACL.
fn make_root(to: &Path) -> io::Result<OwnedFd> {
    match nix::unistd::mkdir(to, Mode::S_IRWXU) {
        Err(Errno::EEXIST) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let root = open(to, DIRECTORY, Mode::empty())?;
    metadata::stop_inheritance(root.as_fd())?;
    Ok(root)
}

struct Cloning<'a> {
    from: &'a Path,
    to: &'a Path,
    /// Below both roots: the directory being cloned.
    path: Vec<u8>,
    frames: Vec<Frame>,
    source: Descent,
    target: Descent,
    reflink: Reflink,
    /// Where the first name of a file with several names lies in the clone.
    linked: HashMap<(libc::dev_t, libc::ino_t), Vec<u8>>,
    metadata: Metadata,
}

/// A directory whose entries are not all cloned yet.
struct Frame {
    rest: IntoIter<Entry>,
    stat: FileStat,
    /// Length of the path of the directory above.
    parent_len: usize,
}

impl Cloning<'_> {
    fn run(&mut self) -> Result<(), TransferError> {
        while let Some(frame) = self.frames.last_mut() {
            match frame.rest.next() {
                Some(entry) => self.entry(&entry)?,
                None => self.finish_directory()?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), TransferError> {
        let name = entry.name.as_c_str();
        interrupt::check().map_err(|e| self.unread(name, e))?;
        match entry.kind {
            Some(Type::File) => self.file(name),
            Some(Type::Directory) => self.directory(name),
            Some(Type::Symlink) => self.symlink(name),
            Some(_) => self.node(name),
            None => {
                let stat = lstat(self.source.here(), name).map_err(|e| self.unread(name, e))?;
                match stat.st_mode & libc::S_IFMT {
                    libc::S_IFREG => self.file(name),
                    libc::S_IFDIR => self.directory(name),
                    libc::S_IFLNK => self.symlink(name),
                    _ => self.node(name),
                }
            }
        }
    }

    fn directory(&mut self, name: &CStr) -> Result<(), TransferError> {
        let source =
            openat(self.source.here(), name, DIRECTORY, Mode::empty()).map_err(|e| self.unread(name, e))?;
        let target = self.target.here();
        mkdirat(target, name, Mode::S_IRWXU).map_err(|e| self.unwritten(name, e))?;
        let target = openat(target, name, DIRECTORY, Mode::empty()).map_err(|e| self.unwritten(name, e))?;
        self.source.enter(source).map_err(|e| self.unread(name, e))?;
        self.target.enter(target).map_err(|e| self.unwritten(name, e))?;
        let parent_len = self.path.len();
        self.push_name(name);
        self.start_directory(parent_len)
    }

    fn start_directory(&mut self, parent_len: usize) -> Result<(), TransferError> {
        let here = self.source.here();
        let stat = fstat(here).map_err(|e| self.unread(c"", e))?;
        let found = entries(here).map_err(|e| self.unread(c"", e))?;
        self.frames.push(Frame { rest: found.into_iter(), stat, parent_len });
        Ok(())
    }

    /// Sets what belongs to the directory itself, now that nothing in it changes any more.
    fn finish_directory(&mut self) -> Result<(), TransferError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        self.metadata
            .directory(self.source.here(), self.target.here(), &frame.stat)
            .map_err(|e| self.unwritten(c"", e))?;
        self.source.leave().map_err(|e| self.unread(c"", e))?;
        self.target.leave().map_err(|e| self.unwritten(c"", e))?;
        self.path.truncate(frame.parent_len);
        Ok(())
    }

    fn file(&mut self, name: &CStr) -> Result<(), TransferError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let source =
            openat(self.source.here(), name, flags, Mode::empty()).map_err(|e| self.unread(name, e))?;
        let stat = fstat(&source).map_err(|e| self.unread(name, e))?;
        if self.link_to_first(name, &stat)? {
            return Ok(());
        }
        self.copy_file(source.as_fd(), name, &stat).map_err(|e| self.unwritten(name, e))
    }

    fn copy_file(&mut self, source: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> io::Result<()> {
        let mode = self.metadata.mode_to_create(stat);
        let mut reflink = if stat.st_size == 0 { Reflink::Fails } else { self.reflink };
        let made = system::create_clone(source, self.target.here(), name, mode, &mut reflink)?;
        if stat.st_size > 0 {
            self.reflink = reflink;
        }
        if !made.cloned {
            copy_bytes(source, made.file.as_fd(), stat)?;
        }
        self.metadata.file(source, &made, stat)
    }

    fn symlink(&mut self, name: &CStr) -> Result<(), TransferError> {
        let source = self.source.here();
        let stat = lstat(source, name).map_err(|e| self.unread(name, e))?;
        if self.link_to_first(name, &stat)? {
            return Ok(());
        }
        let goal = nix::fcntl::readlinkat(self.source.here(), name).map_err(|e| self.unread(name, e))?;
        let target = self.target.here();
        nix::unistd::symlinkat(goal.as_os_str(), target, name).map_err(|e| self.unwritten(name, e))?;
        self.metadata.link(self.source.here(), target, name, &stat).map_err(|e| self.unwritten(name, e))
    }

    /// A fifo, a socket or a device.
    fn node(&mut self, name: &CStr) -> Result<(), TransferError> {
        let stat = lstat(self.source.here(), name).map_err(|e| self.unread(name, e))?;
        if self.link_to_first(name, &stat)? {
            return Ok(());
        }
        match system::make_node(self.target.here(), name, &stat) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
            Err(error) => return Err(self.unwritten(name, error)),
        }
        self.metadata
            .node(self.source.here(), self.target.here(), name, &stat)
            .map_err(|e| self.unwritten(name, e))
    }

    fn push_name(&mut self, name: &CStr) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
    }

    fn unread(&self, name: &CStr, error: impl Into<io::Error>) -> TransferError {
        TransferError::io("read", self.below(self.from, name), error)
    }

    fn unwritten(&self, name: &CStr, error: impl Into<io::Error>) -> TransferError {
        TransferError::io("write", self.below(self.to, name), error)
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
