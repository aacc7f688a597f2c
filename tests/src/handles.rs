//! File handles, open_by_handle_at(2): a way to an object that goes by no path.
#![allow(unsafe_code)]
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct file_handle` with room for the longest handle.
#[repr(C)]
#[derive(Debug, Clone)]
pub struct Handle {
    len: u32,
    kind: i32,
    bytes: [u8; 128],
}

impl Handle {
    /// The handle of `path`, no link followed.
    ///
    /// # Errors
    /// As name_to_handle_at(2).
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut handle = Self { len: 128, kind: 0, bytes: [0; 128] };
        let mut mount = 0;
        // SAFETY: the handle has room for the length it states; the path is a C string.
        let result = unsafe {
            libc::name_to_handle_at(
                libc::AT_FDCWD,
                path.as_ptr(),
                (&raw mut handle).cast(),
                &raw mut mount,
                0,
            )
        };
        if result == 0 { Ok(handle) } else { Err(io::Error::last_os_error()) }
    }

    /// Opens it for reading on the file system that `mount` lies on.
    ///
    /// # Errors
    /// As open_by_handle_at(2).
    pub fn open(&self, mount: impl AsFd) -> io::Result<File> {
        let mut handle = self.clone();
        // SAFETY: a complete handle of the length it states, which the call only reads.
        let fd = unsafe {
            libc::open_by_handle_at(mount.as_fd().as_raw_fd(), (&raw mut handle).cast(), libc::O_RDONLY)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nothing else owns it.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
}
