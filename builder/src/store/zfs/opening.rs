//! Opening a store in a pool: what has to be there, and what was left.
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::command::Dataset;
use super::ground::{Ground, is_mounted};
use super::pool::GROUPS;
use crate::store::StoreError;

/// What was in the groups when the store was opened. Each is told once: it is of that moment.
#[derive(Default)]
pub(super) struct Found(Mutex<HashMap<PathBuf, Vec<OsString>>>);

impl Found {
    pub(super) fn fill(&self, found: HashMap<PathBuf, Vec<OsString>>) {
        *self.0.lock() = found;
    }

    pub(super) fn take(&self, group: &Path) -> Option<Vec<OsString>> {
        self.0.lock().remove(group)
    }
}

/// Whether the pool holds a store.
pub(super) fn is_store(ground: &Ground) -> Result<bool, StoreError> {
    let there = list(ground, &[])?;
    let group =
        |name: &str| there.iter().any(|dataset| dataset.name == format!("{}/{name}", ground.pool.name));
    Ok(group("state") || group("result"))
}

/// Makes the groups that are missing and mounts those that are not; what was left in `result-tmp` and `cache-tmp`.
pub(super) fn prepare(ground: &Ground) -> Result<HashMap<PathBuf, Vec<OsString>>, StoreError> {
    let left = ["result-tmp", "cache-tmp"];
    let there = list(ground, &left)?;
    for name in GROUPS {
        let (dataset, path) = (format!("{}/{name}", ground.pool.name), ground.pool.dir.join(name));
        if there.iter().all(|found| found.name != dataset) {
            create(ground, &dataset)?;
        }
        if !is_mounted(&path) {
            ground.mount(&path)?;
        }
    }
    let in_group = |group: &str| (ground.pool.dir.join(group), names_in(ground, group, &there));
    Ok(left.map(in_group).into())
}

/// Makes a group. Another process may be doing so too: then one of them makes it, and one of them mounts it.
fn create(ground: &Ground, dataset: &str) -> Result<(), StoreError> {
    let failed = ground.failed("make", dataset);
    match ground.zfs.create_group(dataset) {
        Err(failure) if !ground.zfs.exists(dataset).map_err(&failed)? => Err(failed(failure)),
        _ => Ok(()),
    }
}

/// The datasets in the group at `dir`.
pub(super) fn names(ground: &Ground, dir: &Path) -> Result<Vec<OsString>, StoreError> {
    let dataset = ground.dataset(dir);
    let there = ground.zfs.list(std::slice::from_ref(&dataset)).map_err(ground.failed("list", &dataset))?;
    let group = dir.file_name().unwrap_or_default().to_string_lossy();
    Ok(names_in(ground, &group, &there))
}

fn names_in(ground: &Ground, group: &str, there: &[Dataset]) -> Vec<OsString> {
    let above = format!("{}/{group}/", ground.pool.name);
    there.iter().filter_map(|dataset| dataset.name.strip_prefix(&above)).map(OsString::from).collect()
}

/// The pool, which must be there and where it is said to be, what is in it, and what is in some groups.
fn list(ground: &Ground, groups: &[&str]) -> Result<Vec<Dataset>, StoreError> {
    let pool = &ground.pool;
    let mut datasets = vec![pool.name.clone()];
    datasets.extend(groups.iter().map(|group| format!("{}/{group}", pool.name)));
    let there = ground.zfs.list(&datasets).map_err(ground.failed("use the pool", &pool.name))?;
    let refused = |why| StoreError::Zfs { action: "use the pool", dataset: pool.name.clone(), why };
    let Some(root) = there.iter().find(|dataset| dataset.name == pool.name) else {
        let why =
            "there is no such pool; zpool list shows those that there are, zpool import those that could be";
        return Err(refused(why.to_owned()));
    };
    if Path::new(&root.mountpoint) != pool.dir {
        return Err(refused(elsewhere(ground, &root.mountpoint)));
    }
    if !root.mounted {
        ground.zfs.mount(&pool.name).map_err(ground.failed("mount", &pool.name))?;
    }
    Ok(there)
}

fn elsewhere(ground: &Ground, there: &str) -> String {
    let (pool, dir) = (&ground.pool.name, ground.pool.dir.display());
    let fits = Path::new(there).file_name().is_some_and(|name| name == pool.as_str());
    let what = if fits {
        format!("use --store=zfs:{there}")
    } else {
        format!("run: zfs set mountpoint={dir} {pool}")
    };
    format!("its mountpoint is {there}, not {dir}; {what}")
}
