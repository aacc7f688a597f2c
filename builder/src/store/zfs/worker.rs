//! Results of OBuilder's Mac workers, which are in two datasets: `result/ID/home` and `result/ID/brew`, mounted at
//! the home and at the prefix while a step runs. The first step that is built on one here puts them together.
use std::fs;
use std::path::Path;

use super::failure::Kind;
use super::ground::Ground;
use super::pool::snap;
use super::removal;
use crate::store::StoreError;
use crate::store::directory::make;
use crate::transfer::clone::clone_tree;

/// Makes the tree of `draft` from the two of `base`.
pub(super) fn assemble(ground: &Ground, base: &Path, draft: &Path) -> Result<(), StoreError> {
    let rootfs = draft.join("rootfs");
    bring(ground, &base.join("home"), &draft.join("home"), &rootfs)?;
    if !rootfs.is_dir() {
        make(&rootfs)?;
    }
    bring(ground, &base.join("brew"), &draft.join("brew"), &rootfs.join("local"))
}

/// Copies what `part` holds to `target`, by way of `clone`.
fn bring(ground: &Ground, part: &Path, clone: &Path, target: &Path) -> Result<(), StoreError> {
    let dataset = ground.dataset(part);
    match ground.zfs.clone_of(&snap(&dataset), &ground.dataset(clone)) {
        Err(failure) if failure.kind == Kind::Missing => return Ok(()),
        cloned => cloned.map_err(ground.failed("copy", &dataset))?,
    }
    ground.mount(clone)?;
    if target.is_symlink() {
        // To the prefix, where this is to be seen.
        fs::remove_file(target).map_err(|e| StoreError::io("remove", target, e))?;
    }
    clone_tree(clone, target, None)?;
    removal::destroy(ground, clone)
}
