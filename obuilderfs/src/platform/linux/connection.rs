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

/// Opens the file that aborts the connection of our mount on `mountpoint` when something is written to it. It
/// stands for this one connection: once that has gone, writing to it does nothing. `None`: there is none.
///
/// # Errors
/// fusectl cannot be reached: not in a user namespace other than the first, unless
/// somebody has mounted it there.
pub(super) fn open_abort(mountpoint: &Path) -> io::Result<Option<OwnedFd>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let Some(number) = mountinfo::minor(&table, mountpoint, MOUNT_TYPE) else { return Ok(None) };
    let directory = match mount_unseen() {
        Ok(fusectl) => fusectl,
        Err(_) => open(USUAL, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?,
    };
    let file = format!("{number}/abort");
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    Ok(Some(openat(&directory, file.as_str(), flags, Mode::empty())?))
}

/// Mounts fusectl nowhere: only this descriptor leads there, `fsmount(2)`.
fn mount_unseen() -> Result<OwnedFd, Errno> {
    // SAFETY: a constant string and integers; what is returned is a new descriptor, checked by `owned`.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"fusectl".as_ptr(), 1) })?;
    let (none, raw) = (std::ptr::null::<libc::c_char>(), context.as_raw_fd());
    // SAFETY: this command takes neither a key nor a value.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, none, none, 0) })?;
    // SAFETY: integers only; what is returned is a new descriptor, checked by `owned`.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, raw, 1, 0) })
}

fn owned(descriptor: libc::c_long) -> Result<OwnedFd, Errno> {
    let descriptor = RawFd::try_from(Errno::result(descriptor)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the caller's system call has just opened it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
