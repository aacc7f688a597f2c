//! Whether anybody can write to a file. Mappings go through the daemon here, which is told of their end.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

/// A file that can be asked whether somebody may write to it.
///
/// # Errors
/// As `dup(2)`.
pub(crate) fn open_to_ask(object: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    nix::unistd::dup(object)
}

/// Nobody of whom we would not know.
///
/// # Errors
/// None.
pub(crate) fn may_be_written(_file: impl AsFd) -> Result<bool, Errno> {
    Ok(false)
}

/// Runs `open`; nothing of ours is in its way.
pub(crate) fn undisturbed<T>(mut open: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    open()
}
