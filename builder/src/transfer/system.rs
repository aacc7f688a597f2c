//! The calls that differ between Linux and macOS, under one name each.
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(target_os = "macos")]
pub(super) use macos::*;

/// Whether a file system shares the blocks of a clone with the original. Found out with the first file of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reflink {
    Unknown,
    Works,
    Fails,
}

/// A file just made as the clone of another.
pub(super) struct Created {
    pub(super) file: std::os::fd::OwnedFd,
    /// Whether its bytes are there already.
    pub(super) cloned: bool,
}
