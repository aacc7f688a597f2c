//! Results in use: a shared lock on the result's own directory (flock(2)), which the kernel frees when its process
//! dies. Whoever takes a result away needs it for himself.
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::StoreError;

/// Held as long as the result must stay. Clones of the handle share it.
#[derive(Debug)]
pub(super) struct InUse {
    _dir: File,
}

/// What [`take_away`] found.
pub(super) enum Away {
    /// Nobody uses it, and nobody can begin to while this lives.
    Free { _dir: File },
    /// Somebody uses it.
    Used,
    /// There is nothing.
    Gone,
}

/// Uses the directory `dir`; `None` if it is not there, or was just taken away.
pub(super) fn hold(dir: &Path) -> Result<Option<InUse>, StoreError> {
    let failed = |error| StoreError::io("use", dir, error);
    let Some(file) = open(dir).map_err(failed)? else { return Ok(None) };
    // Waits at most for the one transaction in which somebody takes it away, or finds that he cannot.
    while let Err(error) = file.lock_shared() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(failed(error));
        }
    }
    let still = std::fs::metadata(dir).is_ok_and(|now| {
        file.metadata().is_ok_and(|then| (then.dev(), then.ino()) == (now.dev(), now.ino()))
    });
    Ok(still.then_some(InUse { _dir: file }))
}

/// Has the directory `dir` for oneself, to take it away.
pub(super) fn take_away(dir: &Path) -> Result<Away, StoreError> {
    let failed = |error| StoreError::io("use", dir, error);
    let Some(file) = open(dir).map_err(failed)? else { return Ok(Away::Gone) };
    match file.try_lock() {
        Ok(()) => Ok(Away::Free { _dir: file }),
        Err(TryLockError::WouldBlock) => Ok(Away::Used),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn open(dir: &Path) -> io::Result<Option<File>> {
    match File::open(dir) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
