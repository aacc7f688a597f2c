//! Leases, fcntl(2).
#![allow(unsafe_code)]
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Takes a lease on `file`, open for reading: whoever opens it for writing waits until it is given back, or for
/// `/proc/sys/fs/lease-break-time` seconds.
///
/// # Errors
/// As fcntl(2).
pub fn take_read_lease(file: &File) -> io::Result<()> {
    // SAFETY: integers only.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
