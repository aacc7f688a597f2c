//! Where everything lies in a store: the paths of OBuilder's, so that a store filled by it is used on.
//!
//! The store's directory is open to all; what is in it only to us. Trees of results belong to build users,
//! who must not reach any but their own, and they reach that by other ways (a mount).
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::step::StepId;

const PRIVATE: &[&str] = &[
    "result",
    "result-tmp",
    "cache",
    "cache-tmp",
    "state",
    "state/db",
    "state/locks",
    "state/sandbox",
    "state/unsynced",
];

#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

/// Whether there is a store in `root`, of ours or of the original's making.
pub(super) fn is_store(root: &Path) -> bool {
    root.join("state").is_dir() || root.join("result").is_dir()
}

impl Layout {
    /// The paths, without making anything.
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes the directories that are missing, and closes those that are open to others.
    pub(super) fn create(root: &Path) -> Result<Self, StoreError> {
        let mut shared = DirBuilder::new();
        shared.recursive(true).mode(0o755);
        shared.create(root).map_err(|e| StoreError::io("make the store", root, e))?;
        let mode = fs::metadata(root).map_err(|e| StoreError::io("read", root, e))?.mode();
        if mode & 0o022 != 0 {
            return Err(StoreError::WritableByOthers { dir: root.to_owned(), mode: mode & 0o7777 });
        }
        let layout = Self { root: root.to_owned() };
        PRIVATE.iter().try_for_each(|name| make_private(&root.join(name)))?;
        Ok(layout)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn result(&self, id: &StepId) -> PathBuf {
        self.results().join(id.as_str())
    }

    pub(super) fn results(&self) -> PathBuf {
        self.root.join("result")
    }

    pub(super) fn drafts(&self) -> PathBuf {
        self.root.join("result-tmp")
    }

    pub(super) fn draft(&self, id: &StepId) -> PathBuf {
        self.drafts().join(id.as_str())
    }

    pub(super) fn caches(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(super) fn cache(&self, name: &OsStr) -> PathBuf {
        self.caches().join(name)
    }

    pub(super) fn cache_clones(&self) -> PathBuf {
        self.root.join("cache-tmp")
    }

    /// Where OBuilder's Mac workers have their base images.
    pub(super) fn base_images(&self) -> PathBuf {
        self.root.join("base-image")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.root.join("state/db/db.sqlite")
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.root.join("state/locks")
    }

    pub(super) fn unsynced(&self) -> PathBuf {
        self.root.join("state/unsynced")
    }
}

fn make_private(dir: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io("use as a directory", dir, error);
    match fs::metadata(dir) {
        Ok(found) if !found.is_dir() => Err(failed(ErrorKind::NotADirectory.into())),
        Ok(found) if found.mode() & 0o077 == 0 => Ok(()),
        Ok(_) => fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed),
        Err(_) => DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed),
    }
}
