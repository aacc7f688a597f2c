//! Locks that hold for the whole machine and fall with the process that holds them.
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::HostError;

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What [`Lock::try_take`] found.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Ours(Lock),
    /// The process of that id has it; `None` if it has not said so yet.
    By(Option<u32>),
}

impl Lock {
    /// Takes the lock `name` in `dir`, unless somebody has it. `dir` is made, for root alone, if missing.
    ///
    /// # Errors
    /// The lock file cannot be made or locked.
    pub fn try_take(dir: &Path, name: &str) -> Result<Taken, HostError> {
        let (mut file, path) = open(dir, name)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Taken::By(holder(&path))),
            Err(TryLockError::Error(source)) => return Err(io("cannot be locked", &path, source)),
        }
        sign(&mut file, &path)?;
        Ok(Taken::Ours(Self { _file: file }))
    }

    /// Takes the lock `name` in `dir`, waiting for whoever has it. For what is held for a moment only.
    ///
    /// # Errors
    /// The lock file cannot be made or locked.
    pub fn take(dir: &Path, name: &str) -> Result<Self, HostError> {
        let (mut file, path) = open(dir, name)?;
        file.lock().map_err(|source| io("cannot be locked", &path, source))?;
        sign(&mut file, &path)?;
        Ok(Self { _file: file })
    }
}

fn open(dir: &Path, name: &str) -> Result<(File, PathBuf), HostError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| io("cannot be made", dir, source))?;
    let path = dir.join(name);
    let file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|source| io("cannot be opened", &path, source))?;
    Ok((file, path))
}

/// Writes down who has the lock, for the message of those who wait.
fn sign(file: &mut File, path: &Path) -> Result<(), HostError> {
    let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(|source| io("cannot be written", path, source))
}

fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> HostError {
    HostError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_by_one_and_names_it_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("locks");
        let Taken::Ours(lock) = Lock::try_take(&locks, "uid-705").unwrap() else { panic!("not ours") };
        let Taken::By(holder) = Lock::try_take(&locks, "uid-705").unwrap() else { panic!("taken twice") };
        assert_eq!(holder, Some(std::process::id()));
        assert!(matches!(Lock::try_take(&locks, "uid-706").unwrap(), Taken::Ours(_)));
        drop(lock);
        assert!(matches!(Lock::try_take(&locks, "uid-705").unwrap(), Taken::Ours(_)));
    }
}
