//! Objects held by a descriptor that only watches them (`O_EVTONLY`). What needs a path goes through
//! `/.vol/DEVICE/INODE`, by which the kernel finds an object directly.
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;

use crate::backing::{Stat, Time};

/// How to open an object only to name it.
pub(crate) const ANCHOR: OFlag =
    OFlag::from_bits_retain(libc::O_EVTONLY | libc::O_SYMLINK | libc::O_NONBLOCK | libc::O_CLOEXEC);

/// Opens for execution are not marked here.
pub(crate) const EXEC_OPEN: i32 = 0;

/// In the flags of `rename`: the two names change places.
pub(crate) const RENAME_EXCHANGE: u32 = 2;

/// Whether a file is opened to be run; it cannot be told.
pub(crate) fn is_exec_open(_flags: i32) -> bool {
    false
}

/// There is no direct I/O flag here.
pub(crate) const O_DIRECT: i32 = 0;

/// A name for an object that costs no descriptor: device, inode, generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Handle {
    dev: i32,
    ino: u64,
    generation: u32,
}

/// Another name for the handle.
pub(crate) type HandleKey = Handle;

impl Handle {
    /// The handle itself.
    pub(crate) fn key(&self) -> HandleKey {
        self.clone()
    }

    /// Whether that is the handle itself.
    pub(crate) fn has_key(&self, key: &HandleKey) -> bool {
        self == key
    }

    /// The inode number in it.
    pub(crate) fn inode(&self) -> Option<u64> {
        Some(self.ino)
    }

    /// The device stands for the mount.
    pub(crate) fn mount(&self) -> i32 {
        self.dev
    }

    fn path(&self) -> Result<CString, Errno> {
        CString::new(format!("/.vol/{}/{}", self.dev, self.ino)).map_err(|_| Errno::EINVAL)
    }
}

/// The handle of the object behind `fd`.
///
/// # Errors
/// As `fstat(2)`.
pub(crate) fn handle_of(fd: BorrowedFd<'_>) -> Result<Option<Handle>, Errno> {
    let stat = nix::sys::stat::fstat(fd)?;
    Ok(Some(Handle { dev: stat.st_dev, ino: stat.st_ino, generation: stat.st_gen }))
}

/// The same for the entry `name` of `dir`, no link followed.
///
/// # Errors
/// As `fstatat(2)`.
pub(crate) fn handle_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Handle>, Errno> {
    let stat = nix::sys::stat::fstatat(dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(Some(Handle { dev: stat.st_dev, ino: stat.st_ino, generation: stat.st_gen }))
}

/// Anchors the object `handle` names.
///
/// # Errors
/// `ESTALE` if it is gone or another has its number.
pub(crate) fn open_handle(_mount: BorrowedFd<'_>, handle: &Handle) -> Result<OwnedFd, Errno> {
    let fd = nix::fcntl::open(handle.path()?.as_c_str(), ANCHOR, Mode::empty()).map_err(|e| match e {
        Errno::ENOENT => Errno::ESTALE,
        other => other,
    })?;
    if handle_of(fd.as_fd())?.as_ref() == Some(handle) { Ok(fd) } else { Err(Errno::ESTALE) }
}

fn volume_path(fd: BorrowedFd<'_>, name: Option<&OsStr>) -> Result<CString, Errno> {
    let stat = nix::sys::stat::fstat(fd)?;
    let mut path = format!("/.vol/{}/{}", stat.st_dev, stat.st_ino).into_bytes();
    if let Some(name) = name {
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
    }
    CString::new(path).map_err(|_| Errno::EINVAL)
}

/// Opens the object behind `fd` for use, with this thread's rights.
///
/// # Errors
/// As `open(2)`.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: OFlag) -> Result<OwnedFd, Errno> {
    nix::fcntl::open(volume_path(fd, None)?.as_c_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens `name` in `dir` with just these flags.
///
/// # Errors
/// As `openat(2)`.
pub(crate) fn open_plain(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlag,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `name` is a C string that outlives the call.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags.bits(), mode as libc::c_uint) };
    Errno::result(fd)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// No file is without a name here.
///
/// # Errors
/// `ENOTSUP`.
pub(crate) fn create_nameless(_dir: BorrowedFd<'_>, _flags: OFlag, _mode: u32) -> Result<OwnedFd, Errno> {
    Err(Errno::ENOTSUP)
}

/// The object's metadata.
///
/// # Errors
/// As `fstat(2)`.
pub(crate) fn stat(fd: BorrowedFd<'_>) -> Result<Stat, Errno> {
    nix::sys::stat::fstat(fd).map(|raw| convert(&raw))
}

/// Metadata of the entry `name` of `dir`, no link followed.
///
/// # Errors
/// As `fstatat(2)`.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Stat, Errno> {
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    nix::sys::stat::fstatat(dir, name, flags).map(|raw| convert(&raw))
}

fn convert(raw: &libc::stat) -> Stat {
    let time = |seconds, nanoseconds: i64| Time { seconds, nanoseconds: nanoseconds.unsigned_abs() as u32 };
    Stat {
        dev: u64::from(raw.st_dev.cast_unsigned()),
        ino: raw.st_ino,
        mode: u32::from(raw.st_mode),
        nlink: u32::from(raw.st_nlink),
        uid: raw.st_uid,
        gid: raw.st_gid,
        rdev: raw.st_rdev.cast_unsigned(),
        size: raw.st_size.unsigned_abs(),
        blocks: raw.st_blocks.unsigned_abs(),
        blksize: raw.st_blksize.unsigned_abs(),
        atime: time(raw.st_atime, raw.st_atime_nsec),
        mtime: time(raw.st_mtime, raw.st_mtime_nsec),
        ctime: time(raw.st_ctime, raw.st_ctime_nsec),
        btime: Some(time(raw.st_birthtime, raw.st_birthtime_nsec)),
    }
}

/// Makes the device, fifo, socket or empty file `name` in `dir`.
///
/// # Errors
/// As `mknod(2)`.
pub(crate) fn mknod(dir: BorrowedFd<'_>, name: &OsStr, mode: u32, device: u32) -> Result<(), Errno> {
    let path = volume_path(dir, Some(name))?;
    // SAFETY: the path is a C string that outlives the call.
    let result = unsafe {
        if mode & u32::from(libc::S_IFMT) == u32::from(libc::S_IFIFO) {
            libc::mkfifo(path.as_ptr(), mode as libc::mode_t)
        } else {
            libc::mknod(path.as_ptr(), mode as libc::mode_t, device.cast_signed())
        }
    };
    Errno::result(result).map(drop)
}

/// What a symlink holds.
///
/// # Errors
/// As `readlink(2)`.
pub(crate) fn readlink(fd: BorrowedFd<'_>) -> Result<OsString, Errno> {
    let path = volume_path(fd, None)?;
    let mut target = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: pointer and length describe the buffer; the path outlives the call.
    let length = unsafe { libc::readlink(path.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    target.truncate(Errno::result(length)?.unsigned_abs());
    Ok(OsString::from_vec(target))
}

/// Opens the home `path`, a directory, for reading.
///
/// # Errors
/// `ELOOP` if it lies under one of `mountpoints`; else as `open(2)`.
pub(crate) fn open_home(path: &Path, mountpoints: &[PathBuf]) -> Result<OwnedFd, Errno> {
    if mountpoints.iter().any(|mountpoint| path.starts_with(mountpoint)) {
        return Err(Errno::ELOOP);
    }
    nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Sets the permission bits.
///
/// # Errors
/// As `fchmod(2)`.
pub(crate) fn chmod(fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    nix::sys::stat::fchmod(fd, Mode::from_bits_truncate((mode & 0o7777) as libc::mode_t))
}

/// Sets owner and group.
///
/// # Errors
/// As `fchown(2)`.
pub(crate) fn chown(fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    nix::unistd::fchown(fd, uid.map(Into::into), gid.map(Into::into))
}

/// Sets the times of access and modification.
///
/// # Errors
/// As `futimens(2)`.
pub(crate) fn set_times(fd: BorrowedFd<'_>, atime: TimeSpec, mtime: TimeSpec) -> Result<(), Errno> {
    nix::sys::stat::futimens(fd, &atime, &mtime)
}

/// Sets the length of the file in bytes.
///
/// # Errors
/// As `truncate(2)`.
pub(crate) fn truncate(fd: BorrowedFd<'_>, length: i64) -> Result<(), Errno> {
    nix::unistd::truncate(volume_path(fd, None)?.as_c_str(), length)
}

/// Gives the object another name.
///
/// # Errors
/// As `linkat(2)`.
pub(crate) fn link(fd: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let path = volume_path(fd, None)?;
    nix::unistd::linkat(nix::fcntl::AT_FDCWD, path.as_c_str(), dir, name, nix::fcntl::AtFlags::empty())
}

/// Renames; `flags` are those of `renameatx_np(2)`.
///
/// # Errors
/// As `renameatx_np(2)`.
pub(crate) fn rename(
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
    flags: u32,
) -> Result<(), Errno> {
    let c_name = |name: &OsStr| CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL);
    let (source, target) = (c_name(from.1)?, c_name(to.1)?);
    // SAFETY: both names outlive the call.
    let result = unsafe {
        libc::renameatx_np(from.0.as_raw_fd(), source.as_ptr(), to.0.as_raw_fd(), target.as_ptr(), flags)
    };
    Errno::result(result).map(drop)
}

/// Not offered: programs fall back to writing.
///
/// # Errors
/// Always `EOPNOTSUPP`.
pub(crate) fn fallocate(_fd: BorrowedFd<'_>, _mode: i32, _offset: i64, _length: i64) -> Result<(), Errno> {
    Err(Errno::EOPNOTSUPP)
}

/// Not offered: programs fall back to reading and writing.
///
/// # Errors
/// Always `EOPNOTSUPP`.
pub(crate) fn copy_range(
    _from: (BorrowedFd<'_>, i64),
    _to: (BorrowedFd<'_>, i64),
    _length: usize,
) -> Result<usize, Errno> {
    Err(Errno::EOPNOTSUPP)
}

/// `lseek(2)`.
///
/// # Errors
/// As `lseek(2)`.
pub(crate) fn seek(fd: impl AsFd, offset: i64, whence: i32) -> Result<i64, Errno> {
    // SAFETY: plain values only.
    Errno::result(unsafe { libc::lseek(fd.as_fd().as_raw_fd(), offset, whence) })
}

/// There is no `fdatasync(2)`.
///
/// # Errors
/// As `fsync(2)`.
pub(crate) fn fdatasync(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    nix::unistd::fsync(fd)
}
