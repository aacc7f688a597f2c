//! The tree below: the only room that makes system calls on it.
//!
//! Objects are named by a directory descriptor and one component, or held by an anchor: a descriptor that only
//! names them. No path is ever glued together and no link followed. Every call runs with the rights the thread
//! has at that moment ([`crate::caller`]).
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;

use crate::platform;

pub(crate) use crate::platform::{
    DirStream, EXEC_OPEN, Handle, HandleKey, O_DIRECT, chmod, chown, copy_range, create_nameless, fallocate,
    get_xattr, handle_at, handle_of, is_exec_open, link, list_xattrs, may_be_written, mknod, open_handle,
    open_to_ask, readlink, remove_xattr, rename, reopen, seek, set_times, set_xattr, stat, stat_at, truncate,
    undisturbed,
};

/// A point in time; seconds may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// Metadata of an object below, before any mapping. `mode` holds the type too; `rdev` is FUSE's 32-bit form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u32,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    pub(crate) blksize: u32,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    /// Where the file system keeps it.
    pub(crate) btime: Option<Time>,
}

impl Stat {
    /// The type bits alone, `S_IFDIR` and so on.
    pub(crate) fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == S_IFDIR
    }
}

/// The type bits of a mode, and the types this crate asks for; 32 bits wide on every system.
#[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
mod kinds {
    pub(crate) const S_IFMT: u32 = libc::S_IFMT as u32;
    pub(crate) const S_IFDIR: u32 = libc::S_IFDIR as u32;
    pub(crate) const S_IFREG: u32 = libc::S_IFREG as u32;
    pub(crate) const S_ISUID: u32 = libc::S_ISUID as u32;
    pub(crate) const S_ISGID: u32 = libc::S_ISGID as u32;
    pub(crate) const S_IXGRP: u32 = libc::S_IXGRP as u32;
}
pub(crate) use kinds::{S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP};

/// An entry of a directory. `position` is where reading goes on after it.
#[derive(Debug)]
pub(crate) struct DirEntry<'a> {
    pub(crate) ino: u64,
    pub(crate) position: i64,
    /// Type bits, 0 if the file system does not say.
    pub(crate) kind: u32,
    pub(crate) name: &'a OsStr,
}

/// Anchors the entry `name` of `dir`.
///
/// # Errors
/// As `openat(2)`.
pub(crate) fn anchor(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    platform::open_plain(dir, name, platform::ANCHOR, 0)
}

/// The handle and the metadata of the entry `name` of `dir`; `None` if they may not be one object's.
///
/// # Errors
/// As `statx(2)`.
pub(crate) fn glance(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<(Handle, Stat)>, Errno> {
    let Some(handle) = handle_at(dir, name)? else { return Ok(None) };
    let stat = stat_at(dir, name)?;
    let same = handle.key().inode() == Some(stat.ino);
    Ok(same.then_some((handle, stat)))
}

/// Anchors the object that is open as `fd`: what only names it does not count as an open for writing.
///
/// # Errors
/// As `open(2)`.
pub(crate) fn anchor_of(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    platform::reopen(fd, platform::ANCHOR)
}

/// Creates or opens the file `name` in `dir`, never through a link there.
///
/// # Errors
/// As `openat(2)`.
pub(crate) fn create(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlag, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    platform::open_plain(dir, name, flags, mode & 0o7777)
}

/// Makes a directory.
///
/// # Errors
/// As `mkdirat(2)`.
pub(crate) fn mkdir(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<(), Errno> {
    nix::sys::stat::mkdirat(dir, name, permissions(mode))
}

/// Makes a symlink holding `target` as it is.
///
/// # Errors
/// As `symlinkat(2)`.
pub(crate) fn symlink(target: &OsStr, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    nix::unistd::symlinkat(target, dir, name)
}

/// Removes a name that is no directory.
///
/// # Errors
/// As `unlinkat(2)`.
pub(crate) fn unlink(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)
}

/// Removes an empty directory.
///
/// # Errors
/// As `unlinkat(2)` with `AT_REMOVEDIR`.
pub(crate) fn rmdir(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    nix::unistd::unlinkat(dir, name, UnlinkatFlags::RemoveDir)
}

/// Writes to the device what is not there yet; `data_only` leaves out times.
///
/// # Errors
/// As `fsync(2)`.
pub(crate) fn sync(fd: BorrowedFd<'_>, data_only: bool) -> Result<(), Errno> {
    if data_only { platform::fdatasync(fd) } else { nix::unistd::fsync(fd) }
}

/// Space and inodes of the file system that holds the object.
///
/// # Errors
/// As `fstatvfs(3)`.
pub(crate) fn statvfs(object: impl AsFd) -> Result<nix::sys::statvfs::Statvfs, Errno> {
    nix::sys::statvfs::fstatvfs(object)
}

fn permissions(mode: u32) -> Mode {
    #[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
    Mode::from_bits_truncate((mode & 0o7777) as libc::mode_t)
}
