//! Base images that are datasets: `base-image/NAME`, with a home in it, or with `home` and `brew` below it, as
//! OBuilder's Mac workers have them, mounted or not. They are cloned for as long as they are read.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::failure::Failure;
use super::ground::Ground;
use super::pool::snap;
use super::removal;
use crate::store::StoreError;

/// An image that is shown; dropping it removes the clones.
pub(super) struct ShownImage {
    ground: Arc<Ground>,
    /// The clones, those below others last.
    clones: Vec<PathBuf>,
}

/// Shows the image at `image` at `place`, if there is one.
pub(super) fn show(
    ground: &Arc<Ground>,
    image: &Path,
    place: &Path,
) -> Result<Option<ShownImage>, StoreError> {
    let dataset = ground.dataset(image);
    let failed = ground.failed("show the base image", &dataset);
    let there = ground.zfs.tree(&dataset).map_err(&failed)?;
    if there.is_empty() {
        return Ok(None);
    }
    let mut shown = ShownImage { ground: Arc::clone(ground), clones: Vec::new() };
    for part in ["", "/home", "/brew"] {
        let part = format!("{dataset}{part}");
        if there.contains(&part) {
            let below = part.strip_prefix(&dataset).unwrap_or_default().trim_start_matches('/');
            let clone = if below.is_empty() { place.to_owned() } else { place.join(below) };
            shown.clones.push(clone.clone());
            copy(ground, &there, &part, &ground.dataset(&clone)).map_err(&failed)?;
            ground.mount(&clone)?;
        }
    }
    Ok(Some(shown))
}

/// Clones `part` as it is in its snapshot `snap`, or else in its newest, or else now.
fn copy(ground: &Ground, there: &[String], part: &str, clone: &str) -> Result<(), Failure> {
    let (usual, of_it) = (snap(part), format!("{part}@"));
    let newest = there.iter().rev().find(|name| name.starts_with(&of_it));
    if let Some(snapshot) = there.iter().find(|name| **name == usual).or(newest) {
        return ground.zfs.clone_of(snapshot, clone);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let passing = format!("{part}@obuilder-{now:x}");
    ground.zfs.snapshot(&passing)?;
    let cloned = ground.zfs.clone_of(&passing, clone);
    // It goes with the clone.
    ground.zfs.destroy_later(&passing)?;
    cloned
}

impl Drop for ShownImage {
    fn drop(&mut self) {
        for clone in self.clones.iter().rev() {
            if let Err(error) = removal::destroy(&self.ground, clone) {
                tracing::warn!("{error}");
            }
        }
    }
}
