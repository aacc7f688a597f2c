//! The kernel's side of a mount seen from outside: fusectl, `Documentation/filesystems/fuse.rst` of the kernel.
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use crate::mountinfo;
use crate::session::MOUNT_TYPE;

/// Where fusectl is mounted, if it is.
const USUAL: &str = "/sys/fs/fuse/connections";
/// `enum fsconfig_command` in `linux/mount.h`.
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSCONFIG_CMD_RECONFIGURE: u32 = 7;
const FSPICK_CLOEXEC: u32 = 1;
const FSPICK_EMPTY_PATH: u32 = 8;

/// Opens the file that aborts the connection of our mount on `mountpoint` when something is written to it. It
/// stands for this one connection: once that has gone, writing to it does nothing. `None`: there is none.
///
/// # Errors
/// fusectl cannot be reached: not in a user namespace other than the first, unless
/// somebody has mounted it there.
pub(super) fn open_abort(mountpoint: &Path) -> io::Result<Option<OwnedFd>> {
    let Some(number) = number(mountpoint)? else { return Ok(None) };
    let directory = match mount_unseen() {
        Ok(fusectl) => fusectl,
        Err(_) => open(USUAL, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?,
    };
    let file = format!("{number}/abort");
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    Ok(Some(openat(&directory, file.as_str(), flags, Mode::empty())?))
}

/// What the connection of our mount on `mountpoint` is called; `None`: there is none.
///
/// # Errors
/// The mount table cannot be read.
pub(super) fn number(mountpoint: &Path) -> io::Result<Option<u32>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(mountinfo::minor(&table, mountpoint, MOUNT_TYPE))
}

/// Changes the options of our mount on `mountpoint`, whose connection is `number`, to what they are.
///
/// # Errors
/// As `open(2)`, `statx(2)`, `fspick(2)` and `fsconfig(2)`; `ENOENT` if another one lies there.
pub(super) fn reconfigure(mountpoint: &Path, number: u32) -> Result<(), Errno> {
    // Held, for something else may be mounted there in the next moment.
    let root = open(mountpoint, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    if device(&root)? != (0, number) {
        return Err(Errno::ENOENT);
    }
    let (here, flags) = (c"".as_ptr(), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    // SAFETY: the path is a C string; what is returned is a new descriptor, checked by `owned`.
    let context = owned(unsafe { libc::syscall(libc::SYS_fspick, root.as_raw_fd(), here, flags) })?;
    drop(root);
    configure(&context, FSCONFIG_CMD_RECONFIGURE)
}

/// Major and minor number of the device that holds what `fd` is open on, as the kernel knows them without asking.
fn device(fd: &OwnedFd) -> Result<(u32, u32), Errno> {
    let mut stat = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path is a C string, and `stat` has room for what is written.
    Errno::result(unsafe { libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, 0, stat.as_mut_ptr()) })?;
    // SAFETY: it was zeroed, and zeroes are valid.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.stx_dev_major, stat.stx_dev_minor))
}

fn configure(context: &OwnedFd, command: u32) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: these commands take neither a key nor a value.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, none, none, 0) };
    Errno::result(done).map(drop)
}

/// Mounts fusectl nowhere: only this descriptor leads there, `fsmount(2)`.
fn mount_unseen() -> Result<OwnedFd, Errno> {
    // SAFETY: a constant string and integers; what is returned is a new descriptor, checked by `owned`.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"fusectl".as_ptr(), 1) })?;
    configure(&context, FSCONFIG_CMD_CREATE)?;
    // SAFETY: integers only; what is returned is a new descriptor, checked by `owned`.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) })
}

fn owned(descriptor: libc::c_long) -> Result<OwnedFd, Errno> {
    let descriptor = RawFd::try_from(Errno::result(descriptor)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the caller's system call has just opened it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
