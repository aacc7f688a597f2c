//! Destroying a dataset, though others were cloned from it.
//!
//! ZFS keeps a dataset as long as it has a clone. Promoted, the clone takes the snapshot over, and the dataset, now a
//! clone itself, may go.
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::failure::{Failure, Kind};
use super::ground::{Ground, is_mounted};
use crate::store::StoreError;
use crate::transfer::remove::remove_tree;

/// Destroys what is at `path`, its snapshots and the datasets below it; nothing there is fine.
pub(super) fn destroy(ground: &Ground, path: &Path) -> Result<(), StoreError> {
    ground.unmount(path)?;
    let dataset = ground.dataset(path);
    // Each promotion takes at least one clone away.
    loop {
        match ground.zfs.destroy(&dataset) {
            Ok(()) => break,
            Err(failure) if failure.kind == Kind::HasClones => {
                if !hand_over(ground, &dataset).map_err(ground.failed("remove", &dataset))? {
                    return Err(ground.refused("remove", path, &failure));
                }
            }
            Err(failure) => return Err(ground.refused("remove", path, &failure)),
        }
    }
    // The mount point, or what somebody put there by hand.
    if path.symlink_metadata().is_ok() && !is_mounted(path) {
        remove_tree(path)?;
    }
    Ok(())
}

/// Gives the snapshots of `dataset` to one that was cloned from it; false if there is none.
fn hand_over(ground: &Ground, dataset: &str) -> Result<bool, Failure> {
    let of_it = format!("{dataset}@");
    let origins = ground.zfs.origins(&ground.pool.name)?;
    let Some((clone, origin)) = origins.into_iter().find(|(_, origin)| origin.starts_with(&of_it)) else {
        return Ok(false);
    };
    // The clone may have one of that name.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    ground.zfs.rename(&origin, &format!("{dataset}@of-{now:x}"))?;
    ground.zfs.promote(&clone)?;
    Ok(true)
}
