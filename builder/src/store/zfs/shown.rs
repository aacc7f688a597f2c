//! Results that are mounted to be read, by as many processes as like: the first mounts, the last unmounts.
//!
//! Who reads one has a shared lock (flock(2)) on `state/mounts/ID-WHERE`; who mounts or unmounts it needs it for
//! himself. Where each process mounts for its own mount namespace, WHERE is that.
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ground::{Ground, is_mounted};
use super::programs;
use crate::store::{StoreError, system};

/// A result that is mounted; dropping it unmounts it if nobody else reads it.
pub(super) struct Shown {
    ground: Arc<Ground>,
    result: PathBuf,
    lock: File,
    path: PathBuf,
}

/// Mounts `result`, if it is not.
pub(super) fn show(ground: &Arc<Ground>, result: &Path) -> Result<Shown, StoreError> {
    let name = result.file_name().unwrap_or_default().to_string_lossy();
    let path = dir(ground).join(format!("{name}-{}", place()));
    let failed = |error| StoreError::io("lock", &path, error);
    loop {
        let lock = open(&path).map_err(failed)?;
        lock.lock_shared().map_err(failed)?;
        if is_still_at(&lock, &path) && is_mounted(result) {
            return Ok(Shown { ground: Arc::clone(ground), result: result.to_owned(), lock, path });
        }
        lock.unlock().and_then(|()| lock.lock()).map_err(failed)?;
        if is_still_at(&lock, &path) && !is_mounted(result) {
            ground.mount_read_only(result)?;
        }
        // Shared again from the beginning, as others may come in between.
    }
}

/// Unmounts what killed processes were reading.
pub(super) fn clear(ground: &Arc<Ground>) -> Result<(), StoreError> {
    let (dir, here) = (dir(ground), format!("-{}", place()));
    let failed = |error| StoreError::io("read", &dir, error);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(&here) else {
            // Of a mount namespace that may be gone, and its mounts with it.
            forget_unused(&path);
            continue;
        };
        let lock = open(&path).map_err(|e| StoreError::io("lock", &path, e))?;
        let result = ground.pool.dir.join("result").join(name);
        drop(Shown { ground: Arc::clone(ground), result, lock, path });
    }
    Ok(())
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.lock.try_lock().is_err() || !is_still_at(&self.lock, &self.path) {
            return;
        }
        match self.ground.unmount(&self.result) {
            Ok(()) => forget(&self.path),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

fn forget_unused(path: &Path) {
    if let Ok(lock) = open(path)
        && lock.try_lock().is_ok()
    {
        forget(path);
    }
}

/// A file that stays does no harm.
fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

fn dir(ground: &Ground) -> PathBuf {
    ground.pool.dir.join("state/mounts")
}

/// Where mounts made by this process are seen.
fn place() -> String {
    if programs::is_fuse() { "all".to_owned() } else { system::mount_namespace() }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn is_still_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}
