//! Reading a directory by the kernel's own positions, so that `telldir` and `seekdir` of the caller work
//! while entries come and go.
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use crate::backing::DirEntry;

/// Bytes read from the kernel at a time.
const BUFFER: usize = 32 * 1024;
/// Where the name starts in `struct linux_dirent64`: ino 8, off 8, reclen 2, type 1.
const NAME: usize = 19;

/// An open directory and what was read of it but not handed out.
#[derive(Debug)]
pub(crate) struct DirStream {
    fd: OwnedFd,
    buffer: Vec<u8>,
    at: usize,
    /// The position after the last entry handed out.
    position: i64,
}

impl DirStream {
    /// Reads `fd`, a directory open for reading, from its start.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, buffer: Vec::new(), at: 0, position: 0 }
    }

    /// The directory itself.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Goes to `position`, 0 or one that an entry carried. What was read ahead is dropped, unless that is
    /// where we are; going to the start always reads anew, as `rewinddir(3)` must.
    ///
    /// # Errors
    /// As `lseek(2)`.
    pub(crate) fn seek(&mut self, position: i64) -> Result<(), Errno> {
        if position == self.position && position != 0 {
            return Ok(());
        }
        super::seek(&self.fd, position, libc::SEEK_SET)?;
        self.buffer.clear();
        self.at = 0;
        self.position = position;
        Ok(())
    }

    /// Hands entries to `take` until it says `false` for one it has no room for (which comes again next
    /// time), or the end. Fills the buffer as it needs.
    ///
    /// # Errors
    /// As `getdents64(2)`.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        loop {
            while let Some((entry, length)) = parse(&self.buffer[self.at..]) {
                if !take(&entry) {
                    return Ok(());
                }
                self.position = entry.position;
                self.at += length;
            }
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    fn fill(&mut self) -> Result<bool, Errno> {
        self.at = 0;
        self.buffer.resize(BUFFER, 0);
        // SAFETY: pointer and length describe the buffer.
        let read = unsafe {
            libc::syscall(libc::SYS_getdents64, self.fd.as_raw_fd(), self.buffer.as_mut_ptr(), BUFFER)
        };
        let read = Errno::result(read).inspect_err(|_| self.buffer.clear())?;
        self.buffer.truncate(usize::try_from(read).unwrap_or(0));
        Ok(read > 0)
    }
}

/// The first entry in `bytes` and its length.
fn parse(bytes: &[u8]) -> Option<(DirEntry<'_>, usize)> {
    let ino = u64::from_ne_bytes(bytes.get(0..8)?.try_into().ok()?);
    let position = i64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
    let length = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
    let kind = *bytes.get(18)?;
    let name = bytes.get(NAME..length)?;
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    Some((
        DirEntry { ino, position, kind: u32::from(kind) << 12, name: OsStr::from_bytes(&name[..end]) },
        length,
    ))
}
