//! Who works on what: a lock per id, which the kernel frees when its process dies (flock(2)).
//!
//! Lock files are never removed by those who used them, only by [`Locks::sweep`]; so whoever locks one makes
//! sure that it is still the file of that name.
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::StoreError;

/// The lock files of a store.
pub(super) struct Locks {
    dir: PathBuf,
}

/// Held until dropped.
pub(super) struct Held {
    _file: File,
}

#[derive(Clone, Copy)]
enum How {
    Wait,
    Try,
}

impl Locks {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Waits until nobody else has `name`.
    pub(super) fn exclusive(&self, name: &str) -> Result<Held, StoreError> {
        loop {
            if let Some(held) = self.lock(name, How::Wait)? {
                return Ok(held);
            }
        }
    }

    /// `None` if somebody else has `name`.
    pub(super) fn try_exclusive(&self, name: &str) -> Result<Option<Held>, StoreError> {
        self.lock(name, How::Try)
    }

    /// Removes the lock files nobody holds.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("read", &self.dir, error);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(name) = name.to_str()
                && let Some(_held) = self.try_exclusive(name)?
            {
                let path = self.dir.join(name);
                fs::remove_file(&path).map_err(|e| StoreError::io("remove", path, e))?;
            }
        }
        Ok(())
    }

    /// `None` if somebody has it, or its file was removed while we waited (then nobody has it).
    fn lock(&self, name: &str, how: How) -> Result<Option<Held>, StoreError> {
        let path = self.dir.join(name);
        let failed = |error| StoreError::io("lock", &path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        loop {
            let file = match options.open(&path) {
                // Swept away between being found and opened, which not every file system keeps from us.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.dir.is_dir() => continue,
                opened => opened.map_err(failed)?,
            };
            if !take(&file, how).map_err(failed)? {
                return Ok(None);
            }
            if is_still_at(&file, &path).map_err(failed)? {
                return Ok(Some(Held { _file: file }));
            }
        }
    }
}

fn take(file: &File, how: How) -> io::Result<bool> {
    loop {
        let result = match how {
            How::Wait => file.lock(),
            How::Try => match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            },
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(|()| true),
        }
    }
}

fn is_still_at(file: &File, path: &std::path::Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_has_a_name_even_while_its_file_is_swept_away() {
        let temp = tempfile::TempDir::new().unwrap();
        let locks = Locks::new(temp.path().to_owned());
        let (taken, done) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..500 {
                            let _held = locks.exclusive("name").unwrap();
                            assert!(!taken.swap(true, Ordering::SeqCst), "two had it");
                            thread::yield_now();
                            taken.store(false, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            let sweeper = scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    locks.sweep().unwrap();
                }
            });
            let ends: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            done.store(true, Ordering::SeqCst);
            sweeper.join().unwrap();
            assert!(ends.iter().all(Result::is_ok));
        });
    }
}
