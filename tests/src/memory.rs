//! Mapped files.
#![allow(unsafe_code)]
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// Whether stores to a mapping reach the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// They do: `MAP_SHARED`.
    Shared,
    /// They do not: `MAP_PRIVATE`.
    Private,
}

/// A readable and writable mapping of a file's first bytes.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: NonZeroUsize,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`.
    ///
    /// # Errors
    /// As mmap(2).
    pub fn new(file: &File, len: NonZeroUsize, sharing: Sharing) -> io::Result<Self> {
        let flags = if sharing == Sharing::Shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps no memory in use.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len.get(), access, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, len })
    }

    /// The byte at `offset`.
    pub fn get(&self, offset: usize) -> u8 {
        assert!(offset < self.len.get(), "offset {offset} lies outside the mapping");
        // SAFETY: inside the mapping, which lives as long as self. Others may write to it: hence volatile.
        unsafe { self.start.add(offset).read_volatile() }
    }

    /// Stores `value` at `offset`.
    pub fn set(&mut self, offset: usize, value: u8) {
        assert!(offset < self.len.get(), "offset {offset} lies outside the mapping");
        // SAFETY: as in `get`.
        unsafe { self.start.add(offset).write_volatile(value) }
    }

    /// Writes a shared mapping back: msync(2).
    ///
    /// # Errors
    /// As msync(2).
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the range is that of this mapping.
        let result = unsafe { libc::msync(self.start.as_ptr().cast(), self.len.get(), libc::MS_SYNC) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps what `new` mapped; nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len.get()) };
    }
}
