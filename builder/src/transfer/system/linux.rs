//! Linux: `FICLONE`, `copy_file_range`, `openat2`, device nodes.
#![allow(unsafe_code)]
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, mknodat};

use super::super::descent::DIRECTORY;
use super::{Created, Reflink};

/// Bytes of one `copy_file_range`: small enough for a signal to get through between two of them.
const CHUNK: usize = 1 << 27;

// FICLONE of ioctl_ficlone(2): _IOW(0x94, 9, int).
nix::ioctl_write_int_bad!(ficlone, nix::request_code_write!(0x94, 9, size_of::<libc::c_int>()));

/// Lets two names change places, in one step.
pub(in super::super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    Ok(renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)?)
}

/// Makes the regular file `name` in `dir`, sharing the blocks of `source` if `reflink` does not rule it out.
pub(in super::super) fn create_clone(
    source: BorrowedFd<'_>,
    dir: BorrowedFd<'_>,
    name: &CStr,
    mode: Mode,
    reflink: &mut Reflink,
) -> io::Result<Created> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags, mode)?;
    if *reflink == Reflink::Fails {
        return Ok(Created { file, cloned: false });
    }
    // SAFETY: both descriptors are open for the whole call, and FICLONE reads no memory of ours.
    let cloned = match unsafe { ficlone(file.as_raw_fd(), source.as_raw_fd()) } {
        Ok(_) => true,
        Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EIO | Errno::EROFS)) => return Err(error.into()),
        Err(_) => false,
    };
    if *reflink == Reflink::Unknown {
        *reflink = if cloned { Reflink::Works } else { Reflink::Fails };
    }
    Ok(Created { file, cloned })
}

/// Copies up to `len` bytes at `offset` inside the kernel; `None` where the kernel cannot.
pub(in super::super) fn copy_in_kernel(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    offset: u64,
    len: u64,
) -> io::Result<Option<u64>> {
    let len = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK);
    let start = i64::try_from(offset).map_err(io::Error::other)?;
    let (mut from_offset, mut to_offset) = (start, start);
    // SAFETY: the descriptors are open for the whole call, and both offsets outlive it.
    let copied = unsafe {
        libc::copy_file_range(
            from.as_raw_fd(),
            &raw mut from_offset,
            to.as_raw_fd(),
            &raw mut to_offset,
            len,
            0,
        )
    };
    match Errno::result(copied) {
        Ok(copied) => Ok(Some(copied.unsigned_abs() as u64)),
        Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The first byte at or after `offset` that is not in a hole, and the first after it that is; `None` at the end.
pub(in super::super) fn next_data(file: BorrowedFd<'_>, offset: u64) -> io::Result<Option<(u64, u64)>> {
    use nix::unistd::{Whence, lseek};
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    let data = match lseek(file, offset, Whence::SeekData) {
        Err(Errno::ENXIO) => return Ok(None),
        other => other?,
    };
    let hole = lseek(file, data, Whence::SeekHole)?;
    Ok(Some((data.unsigned_abs(), hole.unsigned_abs())))
}

/// Opens the directory `name` in `dir` unless something is mounted there.
pub(in super::super) fn open_same_mount(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS;
    match openat2(dir, name, OpenHow::new().flags(DIRECTORY).resolve(resolve)) {
        Err(Errno::ENOSYS) => openat(dir, name, DIRECTORY, Mode::empty()),
        other => other,
    }
}

/// Makes a fifo, device or socket like the one `stat` describes.
pub(in super::super) fn make_node(dir: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> io::Result<()> {
    let kind = SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT);
    Ok(mknodat(dir, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, stat.st_rdev)?)
}

/// A path that leads to `name` in `dir` whatever `dir` is called. Its last part is not followed by `l…xattr(2)`.
pub(in super::super) fn link_path(dir: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(OsStr::from_bytes(name.to_bytes()))
}

/// The mode bits that creation takes away (umask(2)), read without changing them; all where /proc is missing.
pub(in super::super) fn creation_mask() -> Mode {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = mask.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    mask.map_or(Mode::all(), Mode::from_bits_truncate)
}
