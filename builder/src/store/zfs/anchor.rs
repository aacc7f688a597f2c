//! What of a draft or result is at hand while it is not mounted: `state/results/ID`, which holds its log and its
//! environment, and whose lock says that somebody uses it.
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::ground::Ground;
use super::shown;
use crate::store::StoreError;
use crate::store::directory;
use crate::store::in_use::{self, Away};
use crate::transfer::remove::remove_tree;

const FILES: &[&str] = &["log", "env"];

/// Makes that of `draft`, empty.
pub(super) fn make(ground: &Ground, draft: &Path) -> Result<(), StoreError> {
    let anchor = ground.pool.anchor(draft);
    make_room(&anchor)?;
    directory::make(&anchor)
}

/// Gives `draft` the environment of `base`, which is held.
pub(super) fn copy_env(ground: &Ground, base: &Path, draft: &Path) -> Result<(), StoreError> {
    copy(&ground.pool.anchor(base), &ground.pool.anchor(draft), "env")
}

/// Puts the log and the environment into the dataset of `draft` too, where OBuilder looks for them.
pub(super) fn store_in(ground: &Ground, draft: &Path) -> Result<(), StoreError> {
    FILES.iter().try_for_each(|name| copy(&ground.pool.anchor(draft), draft, name))
}

/// Makes that of a result which has none: of OBuilder's making.
pub(super) fn fill(ground: &std::sync::Arc<Ground>, result: &Path) -> Result<(), StoreError> {
    let _shown = shown::show(ground, result)?;
    let anchor = ground.pool.anchor(result);
    let name = anchor.file_name().unwrap_or_default().to_string_lossy();
    let aside =
        anchor.with_file_name(format!(".{name}-{}-{:?}", std::process::id(), std::thread::current().id()));
    make_room(&aside)?;
    directory::make(&aside)?;
    FILES.iter().try_for_each(|name| copy(result, &aside, name))?;
    match fs::rename(&aside, &anchor) {
        // Somebody else was first.
        Err(_) if anchor.is_dir() => Ok(remove_tree(&aside)?),
        placed => placed.map_err(|e| StoreError::io("make", &anchor, e)),
    }
}

/// Removes that of what is gone from `place`, unless somebody uses it.
pub(super) fn remove(ground: &Ground, place: &Path) -> Result<(), StoreError> {
    let anchor = ground.pool.anchor(place);
    match in_use::take_away(&anchor)? {
        Away::Free { .. } => Ok(remove_tree(&anchor)?),
        Away::Used | Away::Gone => Ok(()),
    }
}

fn make_room(anchor: &Path) -> Result<(), StoreError> {
    if let Some(above) = anchor.parent() {
        fs::create_dir_all(above).map_err(|e| StoreError::io("make", above, e))?;
    }
    Ok(remove_tree(anchor)?)
}

/// Makes `name` in `to` what it is in `from`; it may be in neither.
fn copy(from: &Path, to: &Path, name: &str) -> Result<(), StoreError> {
    let (from, to) = (from.join(name), to.join(name));
    let done = match fs::copy(&from, &to) {
        Err(error) if error.kind() == ErrorKind::NotFound => absent(fs::remove_file(&to)),
        copied => copied.map(drop),
    };
    done.map_err(|e| StoreError::io("write", to, e))
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
