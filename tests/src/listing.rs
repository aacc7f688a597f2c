//! Directory streams with their positions: telldir(3), seekdir(3), rewinddir(3).
#![allow(unsafe_code)]
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

/// An open directory.
#[derive(Debug)]
pub struct Listing(NonNull<libc::DIR>);

impl Listing {
    /// Opens `path`.
    ///
    /// # Errors
    /// As opendir(3).
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path is a C string.
        let dir = unsafe { libc::opendir(path.as_ptr()) };
        NonNull::new(dir).map(Self).ok_or_else(io::Error::last_os_error)
    }

    /// The next name, `.` and `..` aside; none at the end.
    ///
    /// # Errors
    /// As readdir(3).
    pub fn next_name(&mut self) -> io::Result<Option<OsString>> {
        loop {
            nix::errno::Errno::clear();
            // SAFETY: the stream is open, and nothing else reads it.
            let entry = unsafe { libc::readdir(self.0.as_ptr()) };
            if entry.is_null() {
                let errno = nix::errno::Errno::last_raw();
                return if errno == 0 { Ok(None) } else { Err(io::Error::from_raw_os_error(errno)) };
            }
            // SAFETY: the entry is valid until the next read, and its name ends with a zero byte.
            let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) };
            if name != c"." && name != c".." {
                return Ok(Some(OsStr::from_bytes(name.to_bytes()).to_owned()));
            }
        }
    }

    /// Where it is.
    pub fn position(&self) -> libc::c_long {
        // SAFETY: the stream is open.
        unsafe { libc::telldir(self.0.as_ptr()) }
    }

    /// Goes to a position that [`Listing::position`] gave.
    pub fn seek(&mut self, position: libc::c_long) {
        // SAFETY: the stream is open.
        unsafe { libc::seekdir(self.0.as_ptr(), position) }
    }

    /// Goes to the start, and reads anew from there.
    pub fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0.as_ptr()) }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, and closed only here.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}
