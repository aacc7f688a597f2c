//! Layers of overlayfs: a result is what its step changed, on top of what it was made from.
//!
//! The `rootfs/` of a result is its layer, and the link `parent` leads to the result below, as in OBuilder's store
//! of that kind. A draft's layer is mounted over itself, so that whoever works on the draft sees the whole tree;
//! that ends before it is put in place. A tree that is only read is mounted nowhere ([`overlay`]).
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::auto::nearest;
use super::backend::Backend;
use super::directory::{Directories, copy_env, make};
use super::system::overlay::{self, Upper};
use super::tree::Guard;
use super::{StoreError, Time, directory};
use crate::step::StepId;
use crate::transfer::clone::{clone_directory_itself, clone_tree};
use crate::transfer::remove::remove_tree;

/// How many layers a tree may have. The kernel takes 500; but whoever opens a name for the first time looks for it
/// in one layer after the other.
const MOST_LAYERS: usize = 128;

/// The attribute of a result's directory that tells its layer from any other, and that of the one it stands on. A
/// result that is lost and made again has another layer, on which what was made from the first one does not stand.
/// OBuilder's have none.
const LAYER: &str = "trusted.obuilder.layer";
const BELOW: &str = "trusted.obuilder.below";

pub(super) struct Layers {
    plain: Directories,
}

impl Layers {
    /// The backend for a store in `dir`, which need not be there yet.
    pub(super) fn for_store_in(dir: &Path) -> Result<Self, StoreError> {
        if !dir.join("state/kind").exists() {
            let there = nearest(dir);
            let refused = |e: std::io::Error| StoreError::io("try overlayfs in", there, e);
            if let Some(why) = overlay::probe(there).map_err(refused)? {
                return Err(StoreError::NoOverlay { dir: dir.to_owned(), why });
            }
        }
        Ok(Self { plain: Directories::default() })
    }
}

impl Backend for Layers {
    fn create(&self, draft: &Path) -> Result<(), StoreError> {
        self.plain.create(draft)?;
        mark(draft, LAYER, &unique()?)
    }

    fn snapshot(&self, base: &Path, draft: &Path) -> Result<(), StoreError> {
        make(draft)?;
        mark(draft, LAYER, &unique()?)?;
        copy_env(base, draft)?;
        let lower = layers(base)?;
        let (layer, work) = (draft.join("rootfs"), draft.join("work"));
        if lower.len() >= MOST_LAYERS {
            let (tree, _shown) = self.show(base)?;
            return Ok(clone_tree(&tree, &layer, None)?);
        }
        symlink(base, draft.join("parent")).map_err(|e| StoreError::io("write", draft.join("parent"), e))?;
        if let Some(below) = marked(base, LAYER) {
            mark(draft, BELOW, &below)?;
        }
        make(&layer)?;
        make(&work)?;
        if let Some(top) = lower.first() {
            clone_directory_itself(top, &layer)?;
        }
        overlay::mount(&lower, Some(&Upper { layer: &layer, work: &work }))
            .and_then(|tree| overlay::attach(&tree, &layer))
            .map_err(|e| StoreError::io("mount the layers of", draft, e))
    }

    fn finish(&self, draft: &Path, _base: Option<&Path>) -> Result<(), StoreError> {
        detach(draft)?;
        Ok(remove_tree(&draft.join("work"))?)
    }

    fn commit(&self, draft: &Path, result: &Path) -> Result<(), StoreError> {
        self.plain.commit(draft, result)
    }

    fn seal(&self, _result: &Path) -> Result<(), StoreError> {
        Ok(())
    }

    fn revert(&self, result: &Path, draft: &Path) -> Result<(), StoreError> {
        self.plain.revert(result, draft)
    }

    fn discard(&self, dir: &Path) -> Result<(), StoreError> {
        detach(dir)?;
        self.plain.discard(dir)
    }

    /// A step of OBuilder's that changed nothing has a parent and no `rootfs`.
    fn is_whole(&self, result: &Path) -> Result<bool, StoreError> {
        let is_dir = fs::symlink_metadata(result.join("rootfs")).is_ok_and(|found| found.is_dir());
        Ok(is_dir || parent(result).is_some())
    }

    fn results(&self, dir: &Path) -> Result<HashMap<StepId, Time>, StoreError> {
        directory::results_where(dir, |result| self.is_whole(result))
    }

    fn show(&self, result: &Path) -> Result<(PathBuf, Guard), StoreError> {
        let lower = layers(result)?;
        if let [only] = lower.as_slice() {
            return Ok((only.clone(), Guard::default()));
        }
        let tree =
            overlay::mount(&lower, None).map_err(|e| StoreError::io("mount the layers of", result, e))?;
        // The dot makes it the directory itself, not a link to it.
        let path = PathBuf::from(format!("/proc/self/fd/{}/.", tree.as_raw_fd()));
        Ok((path, Guard::new(tree)))
    }

    fn mounts_drafts(&self) -> bool {
        true
    }

    fn cache_name(&self, name: &OsStr) -> OsString {
        self.plain.cache_name(name)
    }

    fn create_volume(&self, dir: &Path, owner: (u32, u32)) -> Result<(), StoreError> {
        self.plain.create_volume(dir, owner)
    }

    fn clone_volume(&self, volume: &Path, clone: &Path) -> Result<(), StoreError> {
        self.plain.clone_volume(volume, clone)
    }

    fn move_volume(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.plain.move_volume(from, to)
    }

    fn reclaim(&self, dir: &Path) -> Result<(), StoreError> {
        self.plain.reclaim(dir)
    }
}

/// The layers of `result`, its own first.
fn layers(result: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    let mut next = Some(result.to_owned());
    while let Some(dir) = next {
        let layer = dir.join("rootfs");
        let is_there = layer.is_dir();
        next = parent(&dir);
        if !is_there && next.is_none() {
            return Err(StoreError::MissingLayer { result: result.to_owned(), layer: dir });
        }
        if let Some(below) = &next
            && let Some(expected) = marked(&dir, BELOW)
            && below.exists()
            && marked(below, LAYER).as_ref() != Some(&expected)
        {
            return Err(StoreError::OtherLayer { result: dir, layer: below.clone() });
        }
        // A result is never below itself, but for somebody's hand.
        if is_there && !found.contains(&layer) {
            found.push(layer);
        } else if is_there {
            break;
        }
    }
    Ok(found)
}

/// What `result` stands on: the result of that name beside it, wherever the store is by now.
fn parent(result: &Path) -> Option<PathBuf> {
    let goal = fs::read_link(result.join("parent")).ok()?;
    Some(result.with_file_name(goal.file_name()?))
}

fn mark(dir: &Path, name: &str, value: &[u8]) -> Result<(), StoreError> {
    xattr::set(dir, name, value).map_err(|e| StoreError::io("mark the layer of", dir, e))
}

fn marked(dir: &Path, name: &str) -> Option<Vec<u8>> {
    xattr::get(dir, name).ok().flatten()
}

/// What nothing else was ever called.
fn unique() -> Result<Vec<u8>, StoreError> {
    let source = Path::new("/proc/sys/kernel/random/uuid");
    fs::read(source).map(|text| text.trim_ascii().to_owned()).map_err(|e| StoreError::io("read", source, e))
}

fn detach(draft: &Path) -> Result<(), StoreError> {
    let layer = draft.join("rootfs");
    overlay::detach(&layer).map_err(|e| StoreError::io("unmount", layer, e))
}
