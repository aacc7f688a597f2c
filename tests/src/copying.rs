//! copy_file_range(2).
#![allow(unsafe_code)]
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Has the kernel copy up to `len` bytes from offset `start` of `from` to offset `end` of `to`; gives how many.
///
/// # Errors
/// As copy_file_range(2).
pub fn copy_file_range(from: (&File, i64), to: (&File, i64), len: usize) -> io::Result<usize> {
    let (mut start, mut end) = (from.1, to.1);
    // SAFETY: both offsets are live for the call, and nothing else in it is a pointer.
    let copied = unsafe {
        libc::copy_file_range(from.0.as_raw_fd(), &raw mut start, to.0.as_raw_fd(), &raw mut end, len, 0)
    };
    usize::try_from(copied).map_err(|_| io::Error::last_os_error())
}
