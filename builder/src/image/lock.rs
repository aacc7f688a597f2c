//! Images in use: whoever copies one has a shared lock on its directory, flock(2), which falls with the process.
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Keeps the image in `dir` from being removed while what is returned lives.
///
/// # Errors
/// The directory cannot be opened or locked.
pub(crate) fn hold(dir: &Path) -> io::Result<File> {
    let held = File::open(dir)?;
    held.lock_shared()?;
    Ok(held)
}

/// The directory for us alone; `None` if somebody uses it.
pub(super) fn try_own(dir: &Path) -> io::Result<Option<File>> {
    let owned = File::open(dir)?;
    match owned.try_lock() {
        Ok(()) => Ok(Some(owned)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
