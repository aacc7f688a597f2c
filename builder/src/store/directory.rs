//! Plain directories, on any file system. Where it can share blocks between files, clones cost no data; the trees
//! in them are subvolumes where it has those.
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::backend::Backend;
use super::cache;
use super::tree;
use super::{StoreError, Time};
use crate::step::StepId;
use crate::transfer::remove::remove_tree;

pub(super) struct Directories;

impl Backend for Directories {
    fn create(&self, draft: &Path) -> Result<(), StoreError> {
        make(draft)?;
        tree::make(&draft.join("rootfs"))
    }

    fn snapshot(&self, base: &Path, draft: &Path) -> Result<(), StoreError> {
        make(draft)?;
        tree::clone(&base.join("rootfs"), &draft.join("rootfs"))?;
        match fs::copy(base.join("env"), draft.join("env")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("write", draft.join("env"), error))
            }
            _ => Ok(()),
        }
    }

    fn commit(&self, draft: &Path, result: &Path) -> Result<(), StoreError> {
        fs::rename(draft, result).map_err(|e| StoreError::io("put in place", result, e))
    }

    fn seal(&self, _result: &Path) -> Result<(), StoreError> {
        Ok(())
    }

    fn revert(&self, result: &Path, draft: &Path) -> Result<(), StoreError> {
        fs::rename(result, draft).map_err(|e| StoreError::io("take back", result, e))
    }

    fn cache_name(&self, name: &OsStr) -> OsString {
        cache::directory_name(name)
    }

    fn create_volume(&self, dir: &Path) -> Result<(), StoreError> {
        tree::make(dir)
    }

    fn clone_volume(&self, volume: &Path, clone: &Path) -> Result<(), StoreError> {
        tree::clone(volume, clone)
    }

    fn move_volume(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        fs::rename(from, to).map_err(|e| StoreError::io("put in place", to, e))
    }

    fn discard(&self, dir: &Path) -> Result<(), StoreError> {
        tree::destroy(dir);
        tree::destroy(&dir.join("rootfs"));
        Ok(remove_tree(dir)?)
    }

    fn reclaim(&self, dir: &Path) -> Result<(), StoreError> {
        tree::reclaim(dir)
    }
}

/// The whole results in `dir`, and when each was made.
pub(super) fn results(dir: &Path) -> Result<HashMap<StepId, Time>, StoreError> {
    let failed = |error| StoreError::io("read", dir, error);
    let mut found = HashMap::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(id) = entry.file_name().to_str().and_then(StepId::parse) else { continue };
        if let Ok(made) = fs::metadata(entry.path().join("rootfs"))
            && made.is_dir()
        {
            found.insert(id, Time(fs::metadata(entry.path()).map_err(failed)?.mtime()));
        }
    }
    Ok(found)
}

/// Makes the directory `dir`.
pub(super) fn make(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().mode(0o755).create(dir).map_err(|e| StoreError::io("make the directory", dir, e))
}
