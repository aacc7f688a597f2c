//! What tells one kind of store from another: how the directory of a result is made, cloned and thrown away.
//!
//! Every path given lies in the same store, at the place [`super::layout`] names. What is there need not be a
//! directory while nobody uses it: a backend may keep it elsewhere, and show it only to those who do.
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::in_use::{self, Away, InUse};
use super::layout;
use super::tree::Guard;
use super::{StoreError, Time, directory};
use crate::step::StepId;

/// Directories of results, `rootfs/`, `log` and `env` in each. What is said here is so for plain directories.
pub(super) trait Backend: Send + Sync + 'static {
    /// Makes ready what the store in `dir` stands on, before anything is made in it.
    fn prepare(&self, _dir: &Path) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether there is a store in `dir`, of ours or of the original's making.
    fn is_store(&self, dir: &Path) -> Result<bool, StoreError> {
        Ok(layout::is_store(dir))
    }

    /// Removes what is in the way of a new `draft` of `result`: what there is of either is not whole.
    fn make_room(&self, result: &Path, draft: &Path) -> Result<(), StoreError> {
        self.discard(result)?;
        self.discard(draft)
    }

    /// Makes the directory `draft` with an empty `rootfs/` in it.
    fn create(&self, draft: &Path) -> Result<(), StoreError>;

    /// Makes the directory `draft` with the `rootfs/` and `env` of the result `base`, and without a log.
    fn snapshot(&self, base: &Path, draft: &Path) -> Result<(), StoreError>;

    /// Makes `draft`, which was made from `base`, ready to be put in place: no step writes to it any more.
    fn finish(&self, _draft: &Path, _base: Option<&Path>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes `draft` the finished directory `result` in one step: afterwards either is there, never half of one.
    fn commit(&self, draft: &Path, result: &Path) -> Result<(), StoreError>;

    /// Finishes a commit that was cut short after `result` was put in place.
    fn seal(&self, result: &Path) -> Result<(), StoreError>;

    /// Takes back a commit.
    fn revert(&self, result: &Path, draft: &Path) -> Result<(), StoreError>;

    /// Removes a draft, a result or a volume, whatever state it is in; nothing there is fine.
    fn discard(&self, dir: &Path) -> Result<(), StoreError>;

    /// Whether a whole result is at `result`.
    fn is_whole(&self, result: &Path) -> Result<bool, StoreError> {
        let rootfs = result.join("rootfs");
        match fs::metadata(&rootfs) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if is_absence(&error) => Ok(false),
            Err(error) => Err(StoreError::io("read", rootfs, error)),
        }
    }

    /// The whole results in `dir`, and when each was made.
    fn results(&self, dir: &Path) -> Result<HashMap<StepId, Time>, StoreError> {
        directory::results(dir)
    }

    /// The names of what is in `dir`: drafts, results, or volumes.
    fn names(&self, dir: &Path) -> Result<Vec<OsString>, StoreError> {
        directory::names(dir)
    }

    /// Where the `log` and `env` of a draft or a result are, which can be read at any time. They stay the same
    /// files when the draft becomes a result.
    fn files(&self, place: &Path) -> PathBuf {
        place.to_owned()
    }

    /// Shows the tree of a result to this process, at the path that is returned, until the guard is dropped.
    /// Nobody writes there.
    fn show(&self, result: &Path) -> Result<(PathBuf, Guard), StoreError> {
        Ok((result.join("rootfs"), Guard::default()))
    }

    /// Whether drafts are mounted where they lie, for those who share this process's mounts.
    fn mounts_drafts(&self) -> bool {
        false
    }

    /// What is wrong with the result, that only this kind of store knows of.
    fn flaw(&self, _result: &Path) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Uses what is at `place`, a result or the draft of one; `None` if nothing is, or it was just taken away.
    fn hold(&self, place: &Path) -> Result<Option<InUse>, StoreError> {
        in_use::hold(place)
    }

    /// Has the result for oneself, to take it away.
    fn take_away(&self, result: &Path) -> Result<Away, StoreError> {
        in_use::take_away(result)
    }

    /// Whether a result that is in place outlives a power failure, whatever the machine was writing.
    fn outlives_power_failure(&self) -> bool {
        false
    }

    /// The names of the base images in `dir`.
    fn images(&self, dir: &Path) -> Result<Vec<OsString>, StoreError> {
        if dir.is_dir() { directory::names(dir) } else { Ok(Vec::new()) }
    }

    /// Shows the base image at `image`, if there is one, at the path that is returned, until the guard is dropped. At
    /// `place` there is room for a clone.
    fn show_image(&self, image: &Path, _place: &Path) -> Result<Option<(PathBuf, Guard)>, StoreError> {
        Ok(image.is_dir().then(|| (image.to_owned(), Guard::default())))
    }

    /// What the cache volume `name` is called in this kind of store.
    fn cache_name(&self, name: &OsStr) -> OsString;

    /// Whether there is a volume at `dir`, and which: two that were ever there differ.
    fn volume(&self, dir: &Path) -> Result<Option<Identity>, StoreError> {
        let known = File::open(dir).and_then(|file| file.metadata().map(|now| (file, now)));
        match known {
            Ok((file, now)) => Ok(Some(Identity { number: (now.dev(), now.ino()), _held: Some(file) })),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(StoreError::io("open", dir, error)),
        }
    }

    /// Makes an empty volume for a cache, its root as `owner` (user and group) wants it.
    fn create_volume(&self, dir: &Path, owner: (u32, u32)) -> Result<(), StoreError>;

    /// Makes `clone` a volume with all that `volume` holds, to be written to; nothing is there.
    fn clone_volume(&self, volume: &Path, clone: &Path) -> Result<(), StoreError>;

    /// Makes the volume `clone` what is called `volume`. What was goes to `away`, where nothing is. If it
    /// fails, `volume` is as it was.
    fn replace_volume(&self, clone: &Path, volume: &Path, away: &Path) -> Result<(), StoreError> {
        self.move_volume(volume, away)?;
        self.move_volume(clone, volume).inspect_err(|_| {
            // If this fails too, the cache is lost, which is no more than a cache.
            let _ = self.move_volume(away, volume);
        })
    }

    /// Takes `volume` away in one step; to `away`, where nothing is, if it takes time to remove.
    fn take_volume_away(&self, volume: &Path, away: &Path) -> Result<(), StoreError> {
        self.move_volume(volume, away)
    }

    /// Gives a volume another name in the store, which nothing has.
    fn move_volume(&self, from: &Path, to: &Path) -> Result<(), StoreError>;

    /// Waits until the space of what was removed from the store in `dir` is free.
    fn reclaim(&self, dir: &Path) -> Result<(), StoreError>;

    /// How much of what holds the store in `dir` is free for its owner, in per cent.
    fn free(&self, dir: &Path) -> Result<f64, StoreError> {
        let space = statvfs(dir).map_err(|errno| StoreError::io("ask how full is", dir, errno))?;
        // Precise enough for a percentage.
        #[allow(clippy::cast_precision_loss, clippy::unnecessary_cast)]
        let (available, all) = (space.blocks_available() as f64, space.blocks() as f64);
        Ok(100.0 * available / all.max(1.0))
    }
}

/// Which volume it is. As long as this lives no other can be taken for it.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) number: (u64, u64),
    /// Held open where numbers are given out again.
    pub(super) _held: Option<File>,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
