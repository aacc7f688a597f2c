//! What tells one kind of store from another: how the directory of a result is made, cloned and thrown away.
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::StoreError;

/// Directories of results: `rootfs/`, `log` and `env` in each. Every path given lies in the same store.
pub(super) trait Backend: Send + Sync + 'static {
    /// Makes the directory `draft` with an empty `rootfs/` in it.
    fn create(&self, draft: &Path) -> Result<(), StoreError>;

    /// Makes the directory `draft` with the `rootfs/` and `env` of the result `base`, and without a log.
    fn snapshot(&self, base: &Path, draft: &Path) -> Result<(), StoreError>;

    /// Makes `draft` the finished directory `result` in one step: afterwards either is there, never half of one.
    fn commit(&self, draft: &Path, result: &Path) -> Result<(), StoreError>;

    /// Finishes a commit that was cut short after `result` was put in place.
    fn seal(&self, result: &Path) -> Result<(), StoreError>;

    /// Takes back a commit.
    fn revert(&self, result: &Path, draft: &Path) -> Result<(), StoreError>;

    /// What the cache volume `name` is called in this kind of store.
    fn cache_name(&self, name: &OsStr) -> OsString;

    /// Makes an empty volume for a cache.
    fn create_volume(&self, dir: &Path) -> Result<(), StoreError>;

    /// Makes `clone` a volume with all that `volume` holds.
    fn clone_volume(&self, volume: &Path, clone: &Path) -> Result<(), StoreError>;

    /// Gives a volume another name in the store, which nothing has.
    fn move_volume(&self, from: &Path, to: &Path) -> Result<(), StoreError>;

    /// Removes a draft, a result or a volume, whatever state it is in; nothing there is fine.
    fn discard(&self, dir: &Path) -> Result<(), StoreError>;

    /// Waits until the space of what was removed from the store in `dir` is free.
    fn reclaim(&self, dir: &Path) -> Result<(), StoreError>;
}
