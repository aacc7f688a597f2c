//! Subvolumes of btrfs: a clone is a snapshot, whatever the size of the tree, and a result is read-only.
//!
//! What is a plain directory in such a store, as one that was copied there by hand, serves too and is cloned
//! file by file.
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::auto::nearest;
use super::backend::Backend;
use super::cache;
use super::directory::make;
use super::system::{subvolume, sync_file_system};
use super::{StoreError, StoreUrl};
use crate::transfer::clone::clone_tree;
use crate::transfer::remove::remove_tree;

/// When to give up waiting for btrfs to free what was removed: to go on would remove more than has to go.
const LONGEST_RECLAIM: Duration = Duration::from_secs(600);

pub(super) struct Subvolumes;

impl Subvolumes {
    /// The backend for a store in `dir`, which need not be there yet.
    pub(super) fn for_store_in(dir: &Path) -> Result<Self, StoreError> {
        let there = nearest(dir);
        let is_btrfs = subvolume::is_btrfs(there);
        match is_btrfs.map_err(|e| StoreError::io("learn the file system of", there, e))? {
            true => Ok(Self),
            false => Err(StoreError::NotBtrfs { url: StoreUrl::Btrfs(dir.to_owned()) }),
        }
    }
}

impl Backend for Subvolumes {
    fn create(&self, draft: &Path) -> Result<(), StoreError> {
        create(draft)?;
        make(&draft.join("rootfs"))
    }

    fn snapshot(&self, base: &Path, draft: &Path) -> Result<(), StoreError> {
        snapshot(base, draft)?;
        match fs::remove_file(draft.join("log")) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(StoreError::io("remove", draft.join("log"), error))
            }
            _ => Ok(()),
        }
    }

    fn finish(&self, draft: &Path, _base: Option<&Path>) -> Result<(), StoreError> {
        match is_read_only(draft)? {
            Some(_) => keep_nested(draft, &draft.join("nested")),
            None => Ok(()),
        }
    }

    /// It is read-only only afterwards, as btrfs moves no read-only subvolume to another directory.
    fn commit(&self, draft: &Path, result: &Path) -> Result<(), StoreError> {
        rename("put in place", draft, result)?;
        self.seal(result).inspect_err(|_| {
            // If this fails too, what is there is a whole result that is writable.
            let _ = fs::rename(result, draft);
        })
    }

    fn seal(&self, result: &Path) -> Result<(), StoreError> {
        match is_read_only(result)? {
            Some(false) => subvolume::set_read_only(result, true)
                .map_err(|e| StoreError::io("make read-only", result, e)),
            Some(true) | None => Ok(()),
        }
    }

    fn revert(&self, result: &Path, draft: &Path) -> Result<(), StoreError> {
        unseal(result)?;
        rename("take back", result, draft)
    }

    fn flaw(&self, result: &Path) -> Result<Option<String>, StoreError> {
        let is_writable = is_read_only(result)? == Some(false);
        Ok(is_writable.then(|| format!("the result {} is not read-only", result.display())))
    }

    fn cache_name(&self, name: &OsStr) -> OsString {
        cache::dataset_name(name).into()
    }

    fn create_volume(&self, dir: &Path, owner: (u32, u32)) -> Result<(), StoreError> {
        create(dir)?;
        cache::own(dir, owner)
    }

    fn clone_volume(&self, volume: &Path, clone: &Path) -> Result<(), StoreError> {
        snapshot(volume, clone)
    }

    /// OBuilder leaves volumes read-only.
    fn move_volume(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        unseal(from)?;
        rename("put in place", from, to)
    }

    fn discard(&self, dir: &Path) -> Result<(), StoreError> {
        discard(dir)
    }

    fn reclaim(&self, dir: &Path) -> Result<(), StoreError> {
        reclaim(dir)
    }
}

/// Makes directories of the subvolumes that a step made in the subvolume `tree`: no snapshot reaches into them.
/// `spare` is a name on the same file system that is free.
pub(super) fn keep_nested(tree: &Path, spare: &Path) -> Result<(), StoreError> {
    let nested = subvolume::nested(tree).map_err(|e| StoreError::io("look for subvolumes in", tree, e))?;
    for place in nested {
        unseal(&place)?;
        rename("take away", &place, spare)?;
        clone_tree(spare, &place, None)?;
        discard(spare)?;
    }
    Ok(())
}

/// Removes a subvolume, or what serves as one.
fn discard(dir: &Path) -> Result<(), StoreError> {
    match subvolume::destroy(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // It is no subvolume, or only the superuser may remove one as a whole.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => {}
        Err(error) => return Err(StoreError::io("remove", dir, error)),
    }
    if dir.is_dir() && !dir.is_symlink() {
        unseal(dir)?;
    }
    Ok(remove_tree(dir)?)
}

/// Waits until what was removed is free: btrfs frees subvolumes in the background, also those that others removed.
pub(super) fn reclaim(dir: &Path) -> Result<(), StoreError> {
    let begun = Instant::now();
    while !subvolume::reclaimed(dir).map_err(|e| StoreError::io("free space on", dir, e))? {
        if begun.elapsed() > LONGEST_RECLAIM {
            return Err(StoreError::io("free space on", dir, ErrorKind::TimedOut));
        }
        thread::sleep(Duration::from_millis(10));
    }
    // What was freed is counted with the next transaction.
    let synced = File::open(dir).and_then(|dir| sync_file_system(&dir));
    synced.map_err(|e| StoreError::io("sync", dir, e))
}

/// Makes an empty subvolume.
fn create(dir: &Path) -> Result<(), StoreError> {
    subvolume::create(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)))
        .map_err(|e| StoreError::io("make the subvolume", dir, e))
}

/// Makes `to` a writable subvolume with what `from` holds.
fn snapshot(from: &Path, to: &Path) -> Result<(), StoreError> {
    if is_read_only(from)?.is_none() {
        create(to)?;
        return Ok(clone_tree(from, to, None)?);
    }
    subvolume::snapshot(from, to).map_err(|e| StoreError::io("make the snapshot", to, e))
}

fn unseal(dir: &Path) -> Result<(), StoreError> {
    match is_read_only(dir)? {
        Some(true) => {
            subvolume::set_read_only(dir, false).map_err(|e| StoreError::io("make writable", dir, e))
        }
        Some(false) | None => Ok(()),
    }
}

/// `None` for what is no subvolume.
fn is_read_only(dir: &Path) -> Result<Option<bool>, StoreError> {
    subvolume::read_only(dir).map_err(|e| StoreError::io("read", dir, e))
}

fn rename(action: &'static str, from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|e: io::Error| StoreError::io(action, to, e))
}
