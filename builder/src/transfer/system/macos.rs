//! macOS: `fclonefileat`; no `copy_file_range`, no bind mounts, no device nodes below a directory descriptor.
#![allow(unsafe_code)]
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::super::descent::DIRECTORY;
use super::{Created, Reflink};

/// `CLONE_NOOWNERCOPY` of clonefile(2): the clone belongs to the caller, as a created file does.
const CLONE_NOOWNERCOPY: u32 = 0x0002;

/// Lets two names change places, in one step.
pub(in super::super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (one, other) = (name(one)?, name(other)?);
    // SAFETY: both are strings that end in NUL and live through the call.
    Errno::result(unsafe { libc::renamex_np(one.as_ptr(), other.as_ptr(), libc::RENAME_SWAP) })?;
    Ok(())
}

/// Makes the regular file `name` in `dir`, sharing the blocks of `source` if `reflink` does not rule it out.
pub(in super::super) fn create_clone(
    source: BorrowedFd<'_>,
    dir: BorrowedFd<'_>,
    name: &CStr,
    mode: Mode,
    reflink: &mut Reflink,
) -> io::Result<Created> {
    if *reflink != Reflink::Fails {
        // SAFETY: both descriptors are open for the whole call and `name` ends in NUL.
        let result = unsafe {
            libc::fclonefileat(source.as_raw_fd(), dir.as_raw_fd(), name.as_ptr(), CLONE_NOOWNERCOPY)
        };
        match Errno::result(result) {
            Ok(_) => {
                *reflink = Reflink::Works;
                let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                return Ok(Created { file: openat(dir, name, flags, Mode::empty())?, cloned: true });
            }
            Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EIO | Errno::EROFS | Errno::EEXIST)) => {
                return Err(error.into());
            }
            Err(_) if *reflink == Reflink::Unknown => *reflink = Reflink::Fails,
            Err(_) => {}
        }
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(Created { file: openat(dir, name, flags, mode)?, cloned: false })
}

/// The kernel copies nothing for us.
pub(in super::super) fn copy_in_kernel(
    _from: BorrowedFd<'_>,
    _to: BorrowedFd<'_>,
    _offset: u64,
    _len: u64,
) -> io::Result<Option<u64>> {
    Ok(None)
}

/// The first byte at or after `offset` that is not in a hole, and the first after it that is; `None` at the end.
pub(in super::super) fn next_data(file: BorrowedFd<'_>, offset: u64) -> io::Result<Option<(u64, u64)>> {
    let start = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: lseek touches no memory of ours.
    let data = match Errno::result(unsafe { libc::lseek(file.as_raw_fd(), start, libc::SEEK_DATA) }) {
        Err(Errno::ENXIO) => return Ok(None),
        other => other?,
    };
    // SAFETY: as above.
    let hole = Errno::result(unsafe { libc::lseek(file.as_raw_fd(), data, libc::SEEK_HOLE) })?;
    Ok(Some((data.unsigned_abs(), hole.unsigned_abs())))
}

/// Opens the directory `name` in `dir` unless something is mounted there.
pub(in super::super) fn open_same_mount(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let child = openat(dir, name, DIRECTORY, Mode::empty())?;
    if fstat(&child)?.st_dev == fstat(dir)?.st_dev { Ok(child) } else { Err(Errno::EXDEV) }
}

/// There is no mknodat(2): what a program left as a socket or fifo is of no use in a copy, and is left out.
pub(in super::super) fn make_node(_dir: BorrowedFd<'_>, _name: &CStr, _stat: &FileStat) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A path that leads to `name` in `dir`.
pub(in super::super) fn link_path(dir: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    let mut buffer = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: F_GETPATH writes at most PATH_MAX bytes with their NUL, and the buffer has as many.
    let result = unsafe { libc::fcntl(dir.as_raw_fd(), libc::F_GETPATH, buffer.as_mut_ptr()) };
    let end = if result < 0 { 0 } else { buffer.iter().position(|&byte| byte == 0).unwrap_or(0) };
    buffer.truncate(end);
    PathBuf::from(std::ffi::OsString::from_vec(buffer)).join(OsStr::from_bytes(name.to_bytes()))
}

/// Not to be had without changing it: every mode is set.
pub(in super::super) fn creation_mask() -> Mode {
    Mode::all()
}
