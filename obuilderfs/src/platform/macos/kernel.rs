//! Changes behind the mount are not followed here: the kernel keeps nothing of a shared view.
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

/// The kernel's side of the mount. It keeps nothing of a shared view, so there is nothing to tell it.
#[derive(Debug)]
pub(crate) struct Kernel;

impl Kernel {
    /// Names are not kept.
    pub(crate) fn expire_name(&self, _directory: u64, _name: &OsStr) {}

    /// Attributes are not kept.
    pub(crate) fn expire_object(&self, _node: u64) {}

    /// Attributes are not kept.
    pub(crate) fn expire_attributes(&self, _node: u64) -> bool {
        false
    }

    /// Names are not kept.
    pub(crate) fn forget_name(&self, _directory: u64, _name: &OsStr) {}

    /// Names are not kept.
    pub(crate) fn expire_all_names(&self) {}

    /// Names are not kept.
    ///
    /// # Errors
    /// None.
    pub(crate) fn forget_unused(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// A file system that would tell of changes; none does.
#[derive(Debug)]
pub(crate) struct Watch(Infallible);

/// What it would tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(dead_code)]
pub(crate) enum Change {
    /// A name in a directory.
    Name(super::HandleKey, OsString),
    /// An object.
    Object(super::HandleKey),
    /// Changes were lost.
    Lost,
}

impl Watch {
    /// # Errors
    /// Always `EOPNOTSUPP`.
    pub(crate) fn new() -> Result<Self, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Never called.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub(crate) fn add(&self, _object: BorrowedFd<'_>) -> Result<(), Errno> {
        match self.0 {}
    }

    /// Never called.
    pub(crate) fn drain(&self, _read: impl Fn(), _take: impl FnMut(Change, bool)) {
        match self.0 {}
    }
}

/// Waits for links to come and go. The kernel keeps nothing here that would have to go with them.
#[derive(Debug)]
pub(crate) struct LinkWatch(Infallible);

impl LinkWatch {
    /// # Errors
    /// Always `EOPNOTSUPP`.
    pub(crate) fn new(_directory: &Path) -> Result<Self, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub(crate) fn wait(&mut self, _limit: Option<std::time::Duration>) -> Result<bool, Errno> {
        match self.0 {}
    }
}

/// A pipe that never blocks, to wake a thread.
///
/// # Errors
/// As `pipe(2)`.
pub(crate) fn wake_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    nix::unistd::pipe()
}
