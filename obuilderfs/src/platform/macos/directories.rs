//! Reading a directory by the C library's positions.
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use crate::backing::DirEntry;

/// An open directory.
#[derive(Debug)]
pub(crate) struct DirStream {
    fd: OwnedFd,
    stream: Option<Stream>,
    position: i64,
}

/// Owns the C library's stream.
#[derive(Debug)]
struct Stream(*mut libc::DIR);

// SAFETY: a stream may be used by any one thread at a time, and `&mut self` sees to that.
unsafe impl Send for Stream {}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open and ours.
        unsafe { libc::closedir(self.0) };
    }
}

impl DirStream {
    /// Reads `fd`, a directory open for reading, from its start.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, stream: None, position: 0 }
    }

    /// The directory itself.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Goes to `position`, 0 or one that an entry carried.
    ///
    /// # Errors
    /// None; a position that is no longer valid shows at reading.
    pub(crate) fn seek(&mut self, position: i64) -> Result<(), Errno> {
        if position == 0 {
            self.stream = None;
        }
        self.position = position;
        Ok(())
    }

    fn stream(&mut self) -> Result<*mut libc::DIR, Errno> {
        if let Some(stream) = &self.stream {
            return Ok(stream.0);
        }
        let fd = crate::platform::reopen(self.fd.as_fd(), nix::fcntl::OFlag::O_RDONLY)?.into_raw_fd();
        // SAFETY: the descriptor is open, and given over to the stream.
        let stream = unsafe { libc::fdopendir(fd) };
        if stream.is_null() {
            return Err(Errno::last());
        }
        self.stream = Some(Stream(stream));
        Ok(stream)
    }

    /// Hands entries to `take` until it says `false` for one it has no room for, or the end.
    ///
    /// # Errors
    /// As `readdir(3)`.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        let stream = self.stream()?;
        if self.position != 0 {
            // SAFETY: the stream is open, the position came from it.
            unsafe { libc::seekdir(stream, self.position) };
        }
        loop {
            Errno::clear();
            // SAFETY: the stream is open; the entry is valid until the next call.
            let Some(entry) = (unsafe { libc::readdir(stream).as_ref() }) else {
                return match Errno::last_raw() {
                    0 => Ok(()),
                    raw => Err(Errno::from_raw(raw)),
                };
            };
            // SAFETY: the stream is open, and the name ends in a zero byte.
            let (position, name) = unsafe { (libc::telldir(stream), CStr::from_ptr(entry.d_name.as_ptr())) };
            let kind = u32::from(entry.d_type) << 12;
            let name = OsStr::from_bytes(name.to_bytes());
            if !take(&DirEntry { ino: entry.d_ino, position, kind, name }) {
                return Ok(());
            }
            self.position = position;
        }
    }
}
