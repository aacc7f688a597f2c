//! Operations on an object that is held by an `O_PATH` descriptor, which most system calls do not take:
//! the way round is `/proc/self/fd/N`.
use std::ffi::{CString, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag, RenameFlags};
use nix::sys::stat::{Mode, SFlag};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};

use super::leases::undisturbed;
use crate::backing::{Stat, Time};

/// How to open an object only to name it: no rights needed, nothing is read, no link is followed.
pub(crate) const ANCHOR: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The bit the kernel sets in the flags of an open for `execve(2)` (`__FMODE_EXEC` in `include/linux/fs.h`);
/// `open(2)` cannot set it.
pub(crate) const EXEC_OPEN: i32 = 0x20;

/// Whether a file is opened to be run.
pub(crate) fn is_exec_open(flags: i32) -> bool {
    flags & EXEC_OPEN != 0
}

/// In the flags of `rename`: the two names change places.
pub(crate) const RENAME_EXCHANGE: u32 = libc::RENAME_EXCHANGE;

/// Direct I/O, which has its own rules for buffers.
pub(crate) const O_DIRECT: i32 = libc::O_DIRECT;

/// `name` as system calls take it.
pub(super) fn c_string(name: &OsStr) -> Result<CString, Errno> {
    CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)
}

/// The path under which `fd`'s object can be reached again.
pub(super) fn magic_link(fd: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}

/// Opens the object behind `fd` for use, with this thread's rights. Symlinks answer `ELOOP`.
///
/// # Errors
/// As `open(2)`.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: OFlag) -> Result<OwnedFd, Errno> {
    let flags = (flags - OFlag::O_NOFOLLOW) | OFlag::O_CLOEXEC;
    nix::fcntl::open(magic_link(fd).as_c_str(), flags, Mode::empty())
}

/// The object's metadata, birth time included where the file system has it.
///
/// # Errors
/// As `statx(2)`.
pub(crate) fn stat(fd: BorrowedFd<'_>) -> Result<Stat, Errno> {
    stat_at(fd, OsStr::new(""))
}

/// Metadata of the entry `name` of `dir`, no link followed; of `dir` itself if `name` is empty.
///
/// # Errors
/// As `statx(2)`.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Stat, Errno> {
    let name = c_string(name)?;
    let mut raw = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    // SAFETY: `raw` is a whole `struct statx`, for which all zeroes are valid; `name` outlives the call.
    let raw = unsafe {
        Errno::result(libc::statx(dir.as_raw_fd(), name.as_ptr(), flags, mask, raw.as_mut_ptr()))?;
        raw.assume_init()
    };
    let time = |t: libc::statx_timestamp| Time { seconds: t.tv_sec, nanoseconds: t.tv_nsec };
    Ok(Stat {
        dev: libc::makedev(raw.stx_dev_major, raw.stx_dev_minor),
        ino: raw.stx_ino,
        mode: u32::from(raw.stx_mode),
        nlink: raw.stx_nlink,
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        // FUSE carries the 32-bit device number of `new_encode_dev` (include/linux/kdev_t.h).
        rdev: encode_device(raw.stx_rdev_major, raw.stx_rdev_minor),
        size: raw.stx_size,
        blocks: raw.stx_blocks,
        blksize: raw.stx_blksize,
        atime: time(raw.stx_atime),
        mtime: time(raw.stx_mtime),
        ctime: time(raw.stx_ctime),
        btime: (raw.stx_mask & libc::STATX_BTIME != 0).then(|| time(raw.stx_btime)),
    })
}

fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

fn decode_device(device: u32) -> libc::dev_t {
    libc::makedev((device & 0xf_ff00) >> 8, (device & 0xff) | ((device >> 12) & 0xf_ff00))
}

/// Makes the device, fifo, socket or empty file `name` in `dir`. `device` is FUSE's 32-bit number.
///
/// # Errors
/// As `mknodat(2)`.
pub(crate) fn mknod(dir: BorrowedFd<'_>, name: &OsStr, mode: u32, device: u32) -> Result<(), Errno> {
    let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
    nix::sys::stat::mknodat(dir, name, kind, Mode::from_bits_truncate(mode), decode_device(device))
}

/// Opens `name` in `dir` with just these flags; a plain `openat(2)`.
///
/// # Errors
/// As `openat(2)`.
pub(crate) fn open_plain(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlag,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    let name = c_string(name)?;
    // nix refuses the bits it has no name for; the caller's flags are passed on as they are.
    // SAFETY: `name` is a C string that outlives the call.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags.bits(), mode) };
    Errno::result(fd)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes and opens a file in `dir` that has no name; with `O_EXCL` in `flags` it will never have one.
///
/// # Errors
/// As `openat(2)` with `O_TMPFILE`; `EOPNOTSUPP` where the file system has no such files.
pub(crate) fn create_nameless(dir: BorrowedFd<'_>, flags: OFlag, mode: u32) -> Result<OwnedFd, Errno> {
    open_plain(dir, OsStr::new("."), flags | OFlag::O_TMPFILE | OFlag::O_CLOEXEC, mode & 0o7777)
}

/// Sets the permission bits of the object.
///
/// # Errors
/// As `chmod(2)`; `EOPNOTSUPP` for a symlink.
pub(crate) fn chmod(fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    // SAFETY: the path is a C string that outlives the call.
    let result = unsafe { libc::chmod(magic_link(fd).as_ptr(), mode & 0o7777) };
    Errno::result(result).map(drop)
}

/// Sets owner and group; `None` leaves one as it is.
///
/// # Errors
/// As `fchownat(2)`.
pub(crate) fn chown(fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let flags = AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW;
    nix::unistd::fchownat(fd, "", uid.map(Uid::from_raw), gid.map(Gid::from_raw), flags)
}

/// Sets the times of access and modification; `TimeSpec` may be `UTIME_NOW` or `UTIME_OMIT`.
///
/// # Errors
/// As `utimensat(2)`.
pub(crate) fn set_times(fd: BorrowedFd<'_>, atime: TimeSpec, mtime: TimeSpec) -> Result<(), Errno> {
    let times = [*atime.as_ref(), *mtime.as_ref()];
    // SAFETY: `times` holds the two values the call reads.
    let result =
        unsafe { libc::utimensat(fd.as_raw_fd(), c"".as_ptr(), times.as_ptr(), libc::AT_EMPTY_PATH) };
    Errno::result(result).map(drop)
}

/// What a symlink holds.
///
/// # Errors
/// As `readlinkat(2)`.
pub(crate) fn readlink(fd: BorrowedFd<'_>) -> Result<OsString, Errno> {
    nix::fcntl::readlinkat(fd, "")
}

/// Sets the length of the file in bytes. Does not wait for the end of a lease, as `truncate(2)` would.
///
/// # Errors
/// As `open(2)` for writing and `ftruncate(2)`; `EAGAIN` if somebody has a lease on it.
pub(crate) fn truncate(fd: BorrowedFd<'_>, length: i64) -> Result<(), Errno> {
    let file = undisturbed(|| reopen(fd, OFlag::O_WRONLY | OFlag::O_NONBLOCK))?;
    nix::unistd::ftruncate(file, length)
}

/// Gives the object another name.
///
/// # Errors
/// As `linkat(2)`.
pub(crate) fn link(fd: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    nix::unistd::linkat(
        nix::fcntl::AT_FDCWD,
        magic_link(fd).as_c_str(),
        dir,
        name,
        AtFlags::AT_SYMLINK_FOLLOW,
    )
}

/// Renames; `flags` are those of `renameat2(2)`.
///
/// # Errors
/// As `renameat2(2)`.
pub(crate) fn rename(
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
    flags: u32,
) -> Result<(), Errno> {
    nix::fcntl::renameat2(from.0, from.1, to.0, to.1, RenameFlags::from_bits_retain(flags))
}

/// Allocates, punches, zeroes, collapses: `mode` is that of `fallocate(2)`.
///
/// # Errors
/// As `fallocate(2)`.
pub(crate) fn fallocate(fd: BorrowedFd<'_>, mode: i32, offset: i64, length: i64) -> Result<(), Errno> {
    nix::fcntl::fallocate(fd, FallocateFlags::from_bits_retain(mode), offset, length)
}

/// Copies within the file system where it can. Returns how many bytes.
///
/// # Errors
/// As `copy_file_range(2)`.
pub(crate) fn copy_range(
    from: (BorrowedFd<'_>, i64),
    to: (BorrowedFd<'_>, i64),
    length: usize,
) -> Result<usize, Errno> {
    let (mut source, mut target) = (from.1, to.1);
    nix::fcntl::copy_file_range(from.0, Some(&mut source), to.0, Some(&mut target), length)
}

/// `lseek(2)`, for `SEEK_DATA` and `SEEK_HOLE`.
///
/// # Errors
/// As `lseek(2)`.
pub(crate) fn seek(fd: impl AsFd, offset: i64, whence: i32) -> Result<i64, Errno> {
    // SAFETY: plain values only.
    Errno::result(unsafe { libc::lseek(fd.as_fd().as_raw_fd(), offset, whence) })
}
