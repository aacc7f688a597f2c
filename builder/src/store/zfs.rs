//! Datasets of ZFS: a clone costs the same whatever the size of the tree, and results are mounted only while in use.
//!
//! A result is whole when it has its snapshot, as in OBuilder's stores: `POOL/result/ID@snap`. Other than OBuilder we
//! make it aside, as `POOL/result-tmp/ID`, so that nothing half-made is ever among the results. Its log and its
//! environment are in it, and also on the dataset of the state, where they can be read without mounting anything.
mod anchor;
mod command;
mod failure;
mod ground;
mod images;
mod opening;
mod patience;
mod pool;
mod programs;
mod removal;
mod shown;
mod volumes;
mod worker;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::backend::{Backend, Identity};
use super::cache;
use super::directory::{self, make};
use super::in_use::{self, Away, InUse};
use super::tree::Guard;
use super::{StoreError, Time};
use crate::host::run::{Run, SystemRun};
use crate::step::StepId;
use failure::Kind;
use ground::Ground;
use pool::{Pool, snap};

/// How long to wait for the pool to free what was removed.
const LONGEST_RECLAIM: Duration = Duration::from_secs(600);

/// The backend.
pub(super) struct Datasets {
    ground: Arc<Ground>,
    /// What was found when the store was opened, to be asked for once.
    found: opening::Found,
}

impl Datasets {
    /// That of the pool `pool`, mounted at `dir`.
    pub(super) fn of(pool: &str, dir: &Path) -> Self {
        Self::with(Box::new(SystemRun), pool, dir)
    }

    /// The same; `run` runs its commands.
    pub(super) fn with(run: Box<dyn Run>, pool: &str, dir: &Path) -> Self {
        let pool = Pool { name: pool.to_owned(), dir: dir.to_owned() };
        Self { ground: Arc::new(Ground::new(pool, run)), found: opening::Found::default() }
    }
}

impl Backend for Datasets {
    fn prepare(&self, _dir: &Path) -> Result<(), StoreError> {
        self.found.fill(opening::prepare(&self.ground)?);
        shown::clear(&self.ground)
    }

    fn is_store(&self, _dir: &Path) -> Result<bool, StoreError> {
        opening::is_store(&self.ground)
    }

    fn create(&self, draft: &Path) -> Result<(), StoreError> {
        let ground = &self.ground;
        let dataset = ground.dataset(draft);
        ground.anew(draft, || ground.zfs.create(&dataset)).map_err(ground.failed("make", &dataset))??;
        ground.mount(draft)?;
        make(&draft.join("rootfs"))?;
        anchor::make(ground, draft)
    }

    fn snapshot(&self, base: &Path, draft: &Path) -> Result<(), StoreError> {
        let ground = &self.ground;
        let (from, dataset) = (snap(&ground.dataset(base)), ground.dataset(draft));
        ground
            .anew(draft, || ground.zfs.clone_of(&from, &dataset))
            .map_err(ground.failed("make", &dataset))??;
        ground.mount(draft)?;
        if !draft.join("rootfs").is_dir() {
            worker::assemble(ground, base, draft)?;
        }
        anchor::make(ground, draft)?;
        anchor::copy_env(ground, base, draft)
    }

    /// It is unmounted first: what was written through a memory map is in the snapshot then.
    fn commit(&self, draft: &Path, result: &Path) -> Result<(), StoreError> {
        let ground = &self.ground;
        anchor::store_in(ground, draft)?;
        ground.unmount(draft)?;
        let (from, to) = (ground.dataset(draft), ground.dataset(result));
        ground.zfs.snapshot(&snap(&from)).map_err(ground.failed("make the snapshot of", &from))?;
        match ground.zfs.rename(&from, &to) {
            // What is there is no whole result, or nobody would make one.
            Err(failure) if failure.kind == Kind::Exists => {
                removal::destroy(ground, result)?;
                ground.rename("put in place", draft, result)
            }
            renamed => renamed.map_err(|failure| ground.refused("put in place", draft, &failure)),
        }
    }

    fn seal(&self, _result: &Path) -> Result<(), StoreError> {
        Ok(())
    }

    fn revert(&self, result: &Path, draft: &Path) -> Result<(), StoreError> {
        self.ground.unmount(result)?;
        match self.ground.rename("take back", result, draft) {
            Err(_) if self.ground.exists(draft)? => {
                removal::destroy(&self.ground, draft)?;
                self.ground.rename("take back", result, draft)
            }
            other => other,
        }
    }

    fn make_room(&self, _result: &Path, _draft: &Path) -> Result<(), StoreError> {
        // What is in the way is found by the commands that it is in the way of.
        Ok(())
    }

    fn discard(&self, dir: &Path) -> Result<(), StoreError> {
        removal::destroy(&self.ground, dir)?;
        anchor::remove(&self.ground, dir)
    }

    fn is_whole(&self, result: &Path) -> Result<bool, StoreError> {
        let dataset = self.ground.dataset(result);
        self.ground.zfs.exists(&snap(&dataset)).map_err(self.ground.failed("look for", &dataset))
    }

    fn results(&self, dir: &Path) -> Result<HashMap<StepId, Time>, StoreError> {
        let group = self.ground.dataset(dir);
        let made = self.ground.zfs.creations(&group).map_err(self.ground.failed("list", &group))?;
        let result = |(name, seconds): (String, i64)| {
            let id = name.strip_prefix(&group)?.strip_prefix('/')?.strip_suffix("@snap")?;
            Some((StepId::parse(id)?, Time(seconds)))
        };
        Ok(made.into_iter().filter_map(result).collect())
    }

    fn names(&self, dir: &Path) -> Result<Vec<OsString>, StoreError> {
        if self.ground.pool.is_group(dir) {
            return self.found.take(dir).map_or_else(|| opening::names(&self.ground, dir), Ok);
        }
        directory::names(dir)
    }

    fn files(&self, place: &Path) -> PathBuf {
        self.ground.pool.anchor(place)
    }

    fn show(&self, result: &Path) -> Result<(PathBuf, Guard), StoreError> {
        let shown = shown::show(&self.ground, result)?;
        Ok((result.join("rootfs"), Guard::new(shown)))
    }

    fn hold(&self, place: &Path) -> Result<Option<InUse>, StoreError> {
        let anchor = self.files(place);
        if !anchor.exists() {
            if !self.is_whole(place)? {
                return Ok(None);
            }
            // OBuilder made it.
            anchor::fill(&self.ground, place)?;
        }
        in_use::hold(&anchor)
    }

    fn take_away(&self, result: &Path) -> Result<Away, StoreError> {
        match in_use::take_away(&self.files(result))? {
            // OBuilder made it.
            Away::Gone if self.is_whole(result)? => {
                anchor::fill(&self.ground, result)?;
                in_use::take_away(&self.files(result))
            }
            found => Ok(found),
        }
    }

    /// ZFS keeps the order of changes all over the pool.
    fn outlives_power_failure(&self) -> bool {
        true
    }

    fn images(&self, dir: &Path) -> Result<Vec<OsString>, StoreError> {
        opening::names(&self.ground, dir)
    }

    fn show_image(&self, image: &Path, place: &Path) -> Result<Option<(PathBuf, Guard)>, StoreError> {
        let shown = images::show(&self.ground, image, place)?;
        Ok(shown.map(|shown| (place.to_owned(), Guard::new(shown))))
    }

    /// As OBuilder calls them, but for bytes that it writes as `%xx`, which is in no name of ZFS.
    fn cache_name(&self, name: &OsStr) -> OsString {
        cache::dataset_name(name).replace('%', ":").into()
    }

    fn volume(&self, dir: &Path) -> Result<Option<Identity>, StoreError> {
        let dataset = self.ground.dataset(dir);
        let guid = self.ground.zfs.guid(&dataset).map_err(self.ground.failed("look for", &dataset))?;
        Ok(guid.map(|guid| Identity { number: (guid, 0), _held: None }))
    }

    fn create_volume(&self, dir: &Path, owner: (u32, u32)) -> Result<(), StoreError> {
        volumes::create(&self.ground, dir, owner)
    }

    fn clone_volume(&self, volume: &Path, clone: &Path) -> Result<(), StoreError> {
        volumes::clone(&self.ground, volume, clone)
    }

    fn replace_volume(&self, clone: &Path, volume: &Path, away: &Path) -> Result<(), StoreError> {
        volumes::replace(&self.ground, clone, volume, away)
    }

    fn take_volume_away(&self, volume: &Path, _away: &Path) -> Result<(), StoreError> {
        if !self.ground.exists(volume)? {
            return Err(StoreError::io("find", volume, std::io::ErrorKind::NotFound));
        }
        removal::destroy(&self.ground, volume)
    }

    fn move_volume(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.ground.unmount(from)?;
        self.ground.rename("put in place", from, to)
    }

    fn reclaim(&self, _dir: &Path) -> Result<(), StoreError> {
        let (begun, pool) = (Instant::now(), &self.ground.pool.name);
        let freeing = || self.ground.zfs.freeing(pool).map_err(self.ground.failed("free space in", pool));
        while freeing()?.is_some_and(|bytes| bytes > 0) {
            if begun.elapsed() > LONGEST_RECLAIM {
                let why = "it has been freeing it for ten minutes; try again later".to_owned();
                return Err(StoreError::Zfs { action: "free space in", dataset: pool.clone(), why });
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn free(&self, _dir: &Path) -> Result<f64, StoreError> {
        let pool = &self.ground.pool.name;
        let (used, available) =
            self.ground.zfs.space(pool).map_err(self.ground.failed("ask how full is", pool))?;
        // Precise enough for a percentage.
        #[allow(clippy::cast_precision_loss)]
        let (available, all) = (available as f64, (used + available) as f64);
        Ok(100.0 * available / all.max(1.0))
    }
}
