//! Extended attributes of an object held by an `O_PATH` descriptor.
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::objects::magic_link;

fn c_name(name: &OsStr) -> Result<CString, Errno> {
    CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)
}

/// The value of `name`.
///
/// # Errors
/// As `getxattr(2)`.
pub(crate) fn get_xattr(fd: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<u8>, Errno> {
    let (path, name) = (magic_link(fd), c_name(name)?);
    whole(|buffer, size| {
        // SAFETY: `buffer` has room for `size` bytes; both strings outlive the call.
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer, size) }
    })
}

/// The names, each followed by a zero byte.
///
/// # Errors
/// As `listxattr(2)`.
pub(crate) fn list_xattrs(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let path = magic_link(fd);
    whole(|buffer, size| {
        // SAFETY: `buffer` has room for `size` bytes; the path outlives the call.
        unsafe { libc::listxattr(path.as_ptr(), buffer.cast(), size) }
    })
}

/// Reads all of a value whose size may change between asking for it and reading it.
fn whole(read: impl Fn(*mut libc::c_void, usize) -> isize) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 256];
    loop {
        match Errno::result(read(value.as_mut_ptr().cast(), value.len())) {
            Ok(size) => {
                value.truncate(size.unsigned_abs());
                return Ok(value);
            }
            Err(Errno::ERANGE) => {
                let size = Errno::result(read(std::ptr::null_mut(), 0))?;
                value.resize(size.unsigned_abs() + 64, 0);
            }
            Err(e) => return Err(e),
        }
    }
}

/// Sets `name`; `flags` are `XATTR_CREATE` or `XATTR_REPLACE`.
///
/// # Errors
/// As `setxattr(2)`.
pub(crate) fn set_xattr(fd: BorrowedFd<'_>, name: &OsStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    let (path, name) = (magic_link(fd), c_name(name)?);
    // SAFETY: pointer and length describe `value`; both strings outlive the call.
    let result =
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    Errno::result(result).map(drop)
}

/// Removes `name`.
///
/// # Errors
/// As `removexattr(2)`.
pub(crate) fn remove_xattr(fd: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let (path, name): (CString, CString) = (magic_link(fd), c_name(name)?);
    let (path, name): (&CStr, &CStr) = (&path, &name);
    // SAFETY: both strings outlive the call.
    Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}
