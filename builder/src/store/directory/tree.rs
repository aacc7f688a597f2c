//! A tree in a store of plain directories: a subvolume where the file system is btrfs, so that its clone costs the
//! same however large it is, and a directory elsewhere.
//!
//! To whoever looks at it a subvolume is a directory, which rmdir(2) removes, too. So what others put there or
//! take away, OBuilder among them, fits.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::StoreError;
use super::super::btrfs;
use super::super::system::subvolume;
use super::make as make_directory;
use crate::transfer::clone::clone_tree;

/// Makes the empty tree `dir`.
pub(super) fn make(dir: &Path) -> Result<(), StoreError> {
    if make_subvolume(dir) { Ok(()) } else { make_directory(dir) }
}

/// Makes `to` a tree with all that `from` holds.
pub(super) fn clone(from: &Path, to: &Path) -> Result<(), StoreError> {
    // Not everybody may do it, nor is every tree one: what was there before may be a directory.
    if is_subvolume(from) && subvolume::snapshot(from, to).is_ok() {
        return Ok(());
    }
    make_subvolume(to);
    Ok(clone_tree(from, to, None)?)
}

/// Readies `tree`, which no step writes to any more, to be cloned. `spare` is a name that is free.
pub(super) fn finish(tree: &Path, spare: &Path) -> Result<(), StoreError> {
    if is_subvolume(tree) { btrfs::keep_nested(tree, spare) } else { Ok(()) }
}

/// Removes `tree` if it can be done at once, whatever is in it.
pub(super) fn destroy(tree: &Path) {
    // What stays is removed file by file, as a directory is.
    if is_subvolume(tree) {
        let _ = subvolume::destroy(tree);
    }
}

/// Waits until the space of what was removed from the store in `dir` is free.
pub(super) fn reclaim(dir: &Path) -> Result<(), StoreError> {
    if subvolume::is_btrfs(dir).unwrap_or(false) { btrfs::reclaim(dir) } else { Ok(()) }
}

fn make_subvolume(dir: &Path) -> bool {
    let parent = dir.parent().unwrap_or(dir);
    subvolume::is_btrfs(parent).unwrap_or(false)
        && subvolume::create(dir).is_ok()
        && fs::set_permissions(dir, Permissions::from_mode(0o755)).is_ok()
}

/// Whether `tree` itself, not what a link there leads to, is a subvolume that can be written to.
fn is_subvolume(tree: &Path) -> bool {
    !tree.is_symlink()
        && subvolume::is_btrfs(tree).unwrap_or(false)
        && matches!(subvolume::read_only(tree), Ok(Some(false)))
}
