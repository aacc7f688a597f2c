//! A pool and the commands of ZFS, together: what is done with the dataset at a path of the store.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::command::Zfs;
use super::failure::{Failure, Kind};
use super::pool::Pool;
use super::programs::Programs;
use super::removal;
use crate::host::run::Run;
use crate::store::{StoreError, system};

pub(super) struct Ground {
    pub(super) pool: Pool,
    pub(super) zfs: Zfs,
}

impl Ground {
    pub(super) fn new(pool: Pool, run: Box<dyn Run>) -> Self {
        Self { pool, zfs: Zfs::new(Programs::here(), run) }
    }

    pub(super) fn dataset(&self, path: &Path) -> String {
        self.pool.dataset(path)
    }

    /// Makes an error of why `dataset` could not be worked on.
    pub(super) fn failed(
        &self,
        action: &'static str,
        dataset: &str,
    ) -> impl Fn(Failure) -> StoreError + use<> {
        let dataset = dataset.to_owned();
        move |failure| StoreError::Zfs { action, dataset: dataset.clone(), why: failure.to_string() }
    }

    /// The same for what is mounted at `path`: if it is busy, says who uses it.
    pub(super) fn refused(&self, action: &'static str, path: &Path, failure: &Failure) -> StoreError {
        let users = if failure.kind == Kind::Busy { system::users_of(path) } else { Vec::new() };
        let why = if users.is_empty() {
            failure.to_string()
        } else {
            format!("it is used by {}", users.join(", "))
        };
        StoreError::Zfs { action, dataset: self.dataset(path), why }
    }

    pub(super) fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        let dataset = self.dataset(path);
        self.zfs.exists(&dataset).map_err(self.failed("look for", &dataset))
    }

    /// Makes the dataset at `path` with `make`; what is there goes first.
    pub(super) fn anew(
        &self,
        path: &Path,
        make: impl Fn() -> Result<(), Failure>,
    ) -> Result<Result<(), StoreError>, Failure> {
        match make() {
            Err(failure) if failure.kind == Kind::Exists => {
                if let Err(error) = removal::destroy(self, path) {
                    return Ok(Err(error));
                }
                make().map(Ok)
            }
            made => made.map(Ok),
        }
    }

    /// Mounts what is at `path`, to be written to.
    pub(super) fn mount(&self, path: &Path) -> Result<(), StoreError> {
        self.mount_by(path, |dataset| self.zfs.mount(dataset))
    }

    pub(super) fn mount_read_only(&self, path: &Path) -> Result<(), StoreError> {
        self.mount_by(path, |dataset| self.zfs.mount_read_only(dataset))
    }

    fn mount_by(&self, path: &Path, mount: impl Fn(&str) -> Result<(), Failure>) -> Result<(), StoreError> {
        if is_mounted(path) {
            return Ok(());
        }
        let dataset = self.dataset(path);
        mount(&dataset).map_err(self.failed("mount", &dataset))?;
        if is_mounted(path) {
            return Ok(());
        }
        let why = format!(
            "zfs says that it is, but nothing appears at {}; is its mountpoint another, or, with zfs-fuse, is / \
             not shared (mount --make-rshared /)?",
            path.display()
        );
        Err(StoreError::Zfs { action: "mount", dataset, why })
    }

    /// Unmounts what is at `path`, if it is mounted.
    pub(super) fn unmount(&self, path: &Path) -> Result<(), StoreError> {
        if !is_mounted(path) {
            return Ok(());
        }
        let unmounted = self.zfs.unmount(&self.dataset(path));
        unmounted.map_err(|failure| self.refused("unmount", path, &failure))?;
        // The mount point. It may be shown again just now.
        let _ = fs::remove_dir(path);
        Ok(())
    }

    /// Gives the dataset at `from`, which is not mounted, the place `to`.
    pub(super) fn rename(&self, action: &'static str, from: &Path, to: &Path) -> Result<(), StoreError> {
        let renamed = self.zfs.rename(&self.dataset(from), &self.dataset(to));
        renamed.map_err(|failure| self.refused(action, from, &failure))
    }
}

/// Whether something is mounted at `path`, where this process sees it.
pub(super) fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).map(|meta| meta.dev()).ok();
    let above = path.parent().and_then(device);
    device(path).is_some_and(|here| above.is_some_and(|above| above != here))
}
