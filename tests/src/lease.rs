//! Leases, fcntl(2).
#![allow(unsafe_code)]
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Whether `file`, open for reading alone, can have one now.
pub fn can_have_read_lease(file: &File) -> bool {
    let taken = take_read_lease(file).is_ok();
    // SAFETY: integers only.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    taken
}

/// Takes a lease on `file`, open for reading: whoever opens it for writing waits until it is given back, or for
/// `/proc/sys/fs/lease-break-time` seconds.
///
/// # Errors
/// As fcntl(2).
pub fn take_read_lease(file: &File) -> io::Result<()> {
    // SAFETY: integers only. The signal that asks for it back would end the process.
    let result = unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
        libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
