//! `auto:DIR`: the store that is in a directory, or else the best kind that its file system allows.
use std::fs;
use std::path::Path;

use super::layout::is_store;
use super::system::{can_overlay, shares_blocks, subvolume};
use super::{StoreError, StoreUrl, kind};

/// What `auto` stands for in some directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The store.
    pub url: StoreUrl,
    /// Why it is of this kind; `None` if it is there already.
    pub why: Option<&'static str>,
}

/// What the address `url` stands for: itself, unless it is `auto`.
///
/// # Errors
/// What is there cannot be read, or is of a newer version.
pub fn choose(url: &StoreUrl) -> Result<Choice, StoreError> {
    let StoreUrl::Auto(dir) = url else { return Ok(Choice { url: url.clone(), why: None }) };
    match existing(dir)? {
        Some(url) => Ok(Choice { url, why: None }),
        None => best(dir),
    }
}

/// What the address `url` stands for where there must be a store already.
///
/// # Errors
/// As [`choose`], or there is none.
pub fn find(url: &StoreUrl) -> Result<StoreUrl, StoreError> {
    match url {
        StoreUrl::Auto(dir) => existing(dir)?.ok_or_else(|| StoreError::NoStore { url: url.clone() }),
        _ => Ok(url.clone()),
    }
}

/// The store that is in `dir`.
fn existing(dir: &Path) -> Result<Option<StoreUrl>, StoreError> {
    if let Some(kind) = kind::written(dir)? {
        let url = format!("{kind}:{}", dir.display()).parse();
        return url.map(Some).map_err(|_| StoreError::UnknownKind { dir: dir.to_owned(), kind });
    }
    if !is_store(dir) {
        return Ok(None);
    }
    // OBuilder's, whose kinds can be told apart by what results are.
    let results = fs::read_dir(dir.join("result")).into_iter().flatten().flatten();
    let has_subvolumes =
        results.take(1).any(|entry| matches!(subvolume::read_only(&entry.path()), Ok(Some(_))));
    let is_layered = dir.join("in-progress").is_dir();
    Ok(Some(match (has_subvolumes, is_layered) {
        (true, _) => StoreUrl::Btrfs(dir.to_owned()),
        (_, true) => StoreUrl::Overlayfs(dir.to_owned()),
        _ => StoreUrl::Rsync(dir.to_owned()),
    }))
}

/// The best that can be made in `dir`.
fn best(dir: &Path) -> Result<Choice, StoreError> {
    let there = nearest(dir);
    let failed = |error| StoreError::io("learn the file system of", there, error);
    let dir = dir.to_owned();
    let choice = |url, why| Choice { url, why: Some(why) };
    Ok(if subvolume::is_btrfs(there).map_err(failed)? {
        choice(StoreUrl::Btrfs(dir), "its file system is btrfs, whose snapshots cost nothing")
    } else if shares_blocks(there).map_err(failed)? {
        choice(StoreUrl::Xfs(dir), "its file system shares blocks between copies of a file")
    } else if can_overlay(there).map_err(failed)? {
        choice(StoreUrl::Overlayfs(dir), "its file system has no snapshots, so each step is kept as a layer")
    } else {
        choice(StoreUrl::Rsync(dir), "nothing better than copies can be made there")
    })
}

/// The directory that is there of those that lead to `dir`, itself included.
pub(super) fn nearest(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"))
}
