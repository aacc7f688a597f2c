//! A walk down a tree that keeps only the nearest directories open, so that depth costs no descriptors.
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};

/// How many directories stay open; those above are closed, and opened again on the way up.
const KEPT_OPEN: usize = 16;

/// How a directory is opened: never through a link.
pub(crate) const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The directories from the root of a tree down to the one being worked on.
pub(crate) struct Descent {
    above: Vec<Level>,
    here: OwnedFd,
}

enum Level {
    Open(OwnedFd),
    /// Closed to save descriptors; device and inode tell whether `..` leads back to it.
    Closed(libc::dev_t, libc::ino_t),
}

impl Descent {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { above: Vec::new(), here: root }
    }

    /// The directory being worked on.
    pub(crate) fn here(&self) -> BorrowedFd<'_> {
        self.here.as_fd()
    }

    /// Goes down into `child`.
    pub(crate) fn enter(&mut self, child: OwnedFd) -> io::Result<()> {
        let parent = std::mem::replace(&mut self.here, child);
        self.above.push(Level::Open(parent));
        if let Some(index) = self.above.len().checked_sub(KEPT_OPEN)
            && let Some(level @ Level::Open(_)) = self.above.get_mut(index)
            && let Level::Open(fd) = level
        {
            let stat = fstat(&*fd)?;
            *level = Level::Closed(stat.st_dev, stat.st_ino);
        }
        Ok(())
    }

    /// Goes back up; false at the root.
    pub(crate) fn leave(&mut self) -> io::Result<bool> {
        let parent = match self.above.pop() {
            None => return Ok(false),
            Some(Level::Open(fd)) => fd,
            Some(Level::Closed(dev, ino)) => {
                let fd = openat(self.here(), c"..", DIRECTORY, Mode::empty())?;
                let stat = fstat(&fd)?;
                if (stat.st_dev, stat.st_ino) != (dev, ino) {
                    return Err(io::Error::other("it was moved while being walked"));
                }
                fd
            }
        };
        self.here = parent;
        Ok(true)
    }
}

/// A name in a directory.
pub(crate) struct Entry {
    pub(crate) name: CString,
    /// What it is, where the file system says so for free.
    pub(crate) kind: Option<Type>,
}

/// The names in `dir`, without `.` and `..`.
pub(crate) fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut stream = Dir::openat(dir, c".", DIRECTORY, Mode::empty())?;
    let mut found = Vec::new();
    for entry in stream.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            found.push(Entry { name: name.to_owned(), kind: entry.file_type() });
        }
    }
    Ok(found)
}

/// What `name` in `dir` is; a link is not followed.
pub(crate) fn lstat(dir: BorrowedFd<'_>, name: &CStr) -> Result<FileStat, Errno> {
    nix::sys::stat::fstatat(dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)
}
