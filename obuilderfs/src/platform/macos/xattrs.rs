//! Extended attributes.
use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

fn c_name(name: &OsStr) -> Result<CString, Errno> {
    CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)
}

/// The value of `name`.
///
/// # Errors
/// As `fgetxattr(2)`.
pub(crate) fn get_xattr(fd: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<u8>, Errno> {
    let name = c_name(name)?;
    whole(|buffer, size| {
        // SAFETY: `buffer` has room for `size` bytes; the name outlives the call.
        unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), buffer, size, 0, 0) }
    })
}

/// The names, each followed by a zero byte.
///
/// # Errors
/// As `flistxattr(2)`.
pub(crate) fn list_xattrs(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    whole(|buffer, size| {
        // SAFETY: `buffer` has room for `size` bytes.
        unsafe { libc::flistxattr(fd.as_raw_fd(), buffer.cast(), size, 0) }
    })
}

fn whole(read: impl Fn(*mut libc::c_void, usize) -> isize) -> Result<Vec<u8>, Errno> {
    loop {
        let size = Errno::result(read(std::ptr::null_mut(), 0))?.unsigned_abs();
        let mut value = vec![0; size];
        match Errno::result(read(value.as_mut_ptr().cast(), size)) {
            Ok(read) => {
                value.truncate(read.unsigned_abs());
                return Ok(value);
            }
            Err(Errno::ERANGE) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Sets `name`; `flags` are `XATTR_CREATE` or `XATTR_REPLACE`.
///
/// # Errors
/// As `fsetxattr(2)`.
pub(crate) fn set_xattr(fd: BorrowedFd<'_>, name: &OsStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    let name = c_name(name)?;
    // SAFETY: pointer and length describe `value`; the name outlives the call.
    let result = unsafe {
        libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0, flags)
    };
    Errno::result(result).map(drop)
}

/// Removes `name`.
///
/// # Errors
/// As `fremovexattr(2)`.
pub(crate) fn remove_xattr(fd: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let name = c_name(name)?;
    // SAFETY: the name outlives the call.
    Errno::result(unsafe { libc::fremovexattr(fd.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}
