//! Paths inside a tree: `/` is the tree's root, `..` stops there, and links lead wherever they lead inside it.
//!
//! What openat2(2) calls `RESOLVE_IN_ROOT`, name by name, as missing directories are made on the way.
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;

use super::descent::DIRECTORY;
use super::explain;

/// Links followed before a path counts as endless, as in Linux (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A directory of the tree, with the way that leads to it.
#[derive(Clone)]
pub(crate) struct Place {
    root: Arc<OwnedFd>,
    below: Vec<(OsString, Arc<OwnedFd>)>,
}

/// Why a walk ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Blocked {
    /// This is neither a directory nor a link to one.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The links do not end.
    #[error("too many levels of symbolic links")]
    LinkLoop,
    /// A call failed on this.
    #[error("{}: {}", .0.display(), explain(.1))]
    Io(PathBuf, io::Error),
}

/// Is asked for each directory that is missing, to make it; gives `ENOENT` if it does not want to.
pub(crate) type Make<'a> = &'a mut dyn FnMut(&Place, &OsStr) -> io::Result<()>;

impl Place {
    pub(crate) fn root(path: &Path) -> Result<Self, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { root: Arc::new(open(path, flags, Mode::empty())?), below: Vec::new() })
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.below.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd())
    }

    /// Its path, as seen inside the tree.
    pub(crate) fn path(&self) -> PathBuf {
        let mut path = PathBuf::from("/");
        path.extend(self.below.iter().map(|(name, _)| name));
        path
    }

    /// The directory `name` in this one; a link is not followed.
    pub(crate) fn open_child(&self, name: &OsStr) -> Result<Self, Errno> {
        let fd = openat(self.dir(), name, DIRECTORY, Mode::empty())?;
        let mut child = self.clone();
        child.below.push((name.to_owned(), Arc::new(fd)));
        Ok(child)
    }

    /// Follows `path` from here.
    pub(crate) fn walk(&self, path: &OsStr, make: Make<'_>) -> Result<Self, Blocked> {
        let mut here = self.clone();
        let mut left = Vec::new();
        let mut links = 0;
        here.expect(path, &mut left);
        while let Some(name) = left.pop() {
            match name.as_bytes() {
                b"" | b"." => {}
                b".." => drop(here.below.pop()),
                _ => {
                    if let Some(goal) = here.step(&name, make)? {
                        links += 1;
                        if links > MOST_LINKS {
                            return Err(Blocked::LinkLoop);
                        }
                        here.expect(&goal, &mut left);
                    }
                }
            }
        }
        Ok(here)
    }

    /// Puts the parts of `path` on top of those left to walk.
    fn expect(&mut self, path: &OsStr, left: &mut Vec<OsString>) {
        if path.as_bytes().starts_with(b"/") {
            self.below.clear();
        }
        left.extend(
            path.as_bytes().split(|&b| b == b'/').rev().map(|part| OsStr::from_bytes(part).to_owned()),
        );
    }

    /// Goes into `name`; or gives where it points, if it is a link.
    fn step(&mut self, name: &OsStr, make: Make<'_>) -> Result<Option<OsString>, Blocked> {
        let failed = |here: &Self, error: io::Error| Blocked::Io(here.path().join(name), error);
        let mut opened = openat(self.dir(), name, DIRECTORY, Mode::empty());
        if matches!(opened, Err(Errno::ENOENT)) {
            make(self, name).map_err(|e| failed(self, e))?;
            opened = openat(self.dir(), name, DIRECTORY, Mode::empty());
        }
        match opened {
            Ok(fd) => {
                self.below.push((name.to_owned(), Arc::new(fd)));
                Ok(None)
            }
            Err(Errno::ELOOP | Errno::ENOTDIR) => match readlinkat(self.dir(), name) {
                Ok(goal) => Ok(Some(goal)),
                Err(Errno::EINVAL) => Err(Blocked::NotADirectory(self.path().join(name))),
                Err(error) => Err(failed(self, error.into())),
            },
            Err(error) => Err(failed(self, error.into())),
        }
    }
}
