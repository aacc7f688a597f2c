//! Plain directories, on any file system. Where it can share blocks between files, clones cost no data; the trees
//! in them are subvolumes where it has those.
//!
//! Elsewhere results can share whole files with what they were made from. A step never works on such a file: its
//! draft is a clone, whose files are its own until it is kept.
mod tree;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::auto::nearest;
use super::backend::Backend;
use super::cache;
use super::system::shares_blocks;
use super::{StoreError, Time};
use crate::step::StepId;
use crate::transfer::clone::clone_tree;
use crate::transfer::remove::remove_tree;
use crate::transfer::share::{Alike, share_files};

#[derive(Debug, Default)]
pub(super) struct Directories {
    sharing: Sharing,
}

/// How results of plain directories share files with what they were made from: `--rsync-mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Not at all; blocks are shared where the file system can.
    #[default]
    Copy,
    /// As hard links, where owner, mode, times, attributes and bytes are the same.
    Hardlink,
    /// As hard links, where all that and the size are the same: bytes are not looked at.
    HardlinkUnsafe,
}

impl Directories {
    /// Directories that share files so.
    pub(super) fn sharing(sharing: Sharing) -> Self {
        Self { sharing }
    }

    /// Whether results share whole files: no link leads from one subvolume to another, so their trees are none.
    fn links_files(&self) -> bool {
        self.sharing != Sharing::Copy
    }

    /// Directories for a store in `dir`, which need not be there yet, whose files share blocks.
    pub(super) fn with_reflinks(dir: &Path) -> Result<Self, StoreError> {
        let there = nearest(dir);
        match shares_blocks(there).map_err(|e| StoreError::io("learn the file system of", there, e))? {
            true => Ok(Self::default()),
            false => Err(StoreError::NoReflinks { dir: dir.to_owned() }),
        }
    }
}

impl Backend for Directories {
    fn create(&self, draft: &Path) -> Result<(), StoreError> {
        make(draft)?;
        let rootfs = draft.join("rootfs");
        if self.links_files() { make(&rootfs) } else { tree::make(&rootfs) }
    }

    fn snapshot(&self, base: &Path, draft: &Path) -> Result<(), StoreError> {
        make(draft)?;
        let [from, to] = [base, draft].map(|dir| dir.join("rootfs"));
        if self.links_files() {
            clone_tree(&from, &to, None)?;
        } else {
            tree::clone(&from, &to)?;
        }
        copy_env(base, draft)
    }

    fn finish(&self, draft: &Path, base: Option<&Path>) -> Result<(), StoreError> {
        let alike = match self.sharing {
            Sharing::Copy => return tree::finish(&draft.join("rootfs"), &draft.join("spare")),
            Sharing::Hardlink => Alike::Bytes,
            Sharing::HardlinkUnsafe => Alike::Size,
        };
        let Some(base) = base else { return Ok(()) };
        let [from, to] = [base, draft].map(|dir| dir.join("rootfs"));
        Ok(share_files(&from, &to, &draft.join("spare"), alike)?)
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

    fn create_volume(&self, dir: &Path, owner: (u32, u32)) -> Result<(), StoreError> {
        tree::make(dir)?;
        cache::own(dir, owner)
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

/// Gives `draft` the environment of `base`, which may have none.
pub(super) fn copy_env(base: &Path, draft: &Path) -> Result<(), StoreError> {
    match fs::copy(base.join("env"), draft.join("env")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("write", draft.join("env"), error))
        }
        _ => Ok(()),
    }
}

/// The names in `dir`.
pub(super) fn names(dir: &Path) -> Result<Vec<OsString>, StoreError> {
    let failed = |error| StoreError::io("read", dir, error);
    let entries = fs::read_dir(dir).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(failed)).collect()
}

/// The whole results in `dir`, and when each was made.
pub(super) fn results(dir: &Path) -> Result<HashMap<StepId, Time>, StoreError> {
    results_where(dir, |result| Ok(fs::metadata(result.join("rootfs")).is_ok_and(|found| found.is_dir())))
}

/// The results in `dir` that are whole, as `is_whole` says, and when each was made.
pub(super) fn results_where(
    dir: &Path,
    is_whole: impl Fn(&Path) -> Result<bool, StoreError>,
) -> Result<HashMap<StepId, Time>, StoreError> {
    let failed = |error| StoreError::io("read", dir, error);
    let mut found = HashMap::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(id) = entry.file_name().to_str().and_then(StepId::parse) else { continue };
        if is_whole(&entry.path())? {
            found.insert(id, Time(fs::metadata(entry.path()).map_err(failed)?.mtime()));
        }
    }
    Ok(found)
}

/// Makes the directory `dir`.
pub(super) fn make(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().mode(0o755).create(dir).map_err(|e| StoreError::io("make the directory", dir, e))
}
