//! Cache volumes: `cache/c-NAME@snap`, of which steps have clones. The clone of the first step to end becomes the
//! volume, with a snapshot of its own.
//!
//! Clones keep what they were cloned from. So one of them takes the old snapshot over.
use std::path::Path;

use super::failure::{Failure, Kind};
use super::ground::Ground;
use super::pool::snap;
use crate::store::StoreError;
use crate::store::cache::own;

/// Makes an empty volume.
pub(super) fn create(ground: &Ground, dir: &Path, owner: (u32, u32)) -> Result<(), StoreError> {
    let volume = ground.dataset(dir);
    ground.zfs.create(&volume).map_err(ground.failed("make", &volume))?;
    ground.mount(dir)?;
    own(dir, owner)?;
    ground.unmount(dir)?;
    ground.zfs.snapshot(&snap(&volume)).map_err(ground.failed("make the snapshot of", &volume))
}

/// Makes `clone`, and mounts it.
pub(super) fn clone(ground: &Ground, volume: &Path, clone: &Path) -> Result<(), StoreError> {
    let (from, to) = (ground.dataset(volume), ground.dataset(clone));
    let failed = ground.failed("make", &to);
    let cloned = || ground.zfs.clone_of(&snap(&from), &to);
    match ground.anew(clone, cloned) {
        // Whoever made it was killed before it had its snapshot.
        Err(failure) if failure.kind == Kind::Missing => {
            ground.zfs.snapshot(&snap(&from)).map_err(ground.failed("make the snapshot of", &from))?;
            cloned().map_err(failed)?;
        }
        made => made.map_err(failed)??,
    }
    ground.mount(clone)
}

/// Makes `clone` the volume; what was the volume goes to `away`.
pub(super) fn replace(ground: &Ground, clone: &Path, volume: &Path, away: &Path) -> Result<(), StoreError> {
    ground.unmount(clone)?;
    ground.unmount(volume)?;
    let (new, old) = (ground.dataset(clone), ground.dataset(volume));
    let spent = hand_over(ground, &new, &old).map_err(ground.failed("put in place", &new))?;
    ground.rename("put away", volume, away)?;
    let placed = ground.zfs.snapshot(&snap(&new)).map_err(ground.failed("make the snapshot of", &new));
    if let Err(error) = placed.and_then(|()| ground.rename("put in place", clone, volume)) {
        ground.rename("put back", away, volume)?;
        return Err(error);
    }
    match spent {
        Some(snapshot) => {
            ground.zfs.destroy_later(&format!("{old}@{snapshot}")).map_err(ground.failed("remove", &old))
        }
        None => Ok(()),
    }
}

/// Gives the snapshot of the volume `old` to another clone of it, which goes sooner or later and the snapshot with
/// it; or to `new`, which is going to be called `old`, if there is no other: then what the snapshot is called there.
///
/// A dataset is not renamed while one that is mounted was cloned from it, where ZFS is old.
fn hand_over(ground: &Ground, new: &str, old: &str) -> Result<Option<String>, Failure> {
    let guid = ground.zfs.guid(new)?.unwrap_or_default();
    let (origin, spent) = (snap(old), format!("old-{guid:x}"));
    let clones = ground.zfs.origins(&ground.dataset(&ground.pool.dir.join("cache-tmp")))?;
    let other =
        clones.iter().find(|(clone, of)| *of == origin && clone != new).map(|(clone, _)| clone.as_str());
    ground.zfs.rename(&origin, &format!("{old}@{spent}"))?;
    ground.zfs.promote(other.unwrap_or(new))?;
    Ok(other.is_none().then_some(spent))
}
