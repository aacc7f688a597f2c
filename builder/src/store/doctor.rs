//! What differs between a store's database, its results and what builds may have left over; and mending it.
//!
//! Builds mend most of it by themselves as they meet it. This looks everywhere.
mod finding;
mod rows;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use finding::Finding;

use super::backend::Backend;
use super::cache::clone_lock;
use super::layout::Layout;
use super::lock::Locks;
use super::unsynced::Unsynced;
use super::{StoreError, StoreUrl, Time};
use crate::step::StepId;
use rows::Rows;

/// What differs in the store at `url`, which is not changed. Builds may go on meanwhile.
///
/// # Errors
/// There is no store, or it cannot be read.
pub fn examine(url: &StoreUrl) -> Result<Vec<Finding>, StoreError> {
    Patient::at(url)?.examine()
}

/// Mends what [`examine`] finds. No whole result is lost, but those that a power failure may have spoilt.
///
/// # Errors
/// There is no store, or it cannot be changed.
pub fn repair(url: &StoreUrl) -> Result<(), StoreError> {
    Patient::at(url)?.repair(url)
}

/// The store that is looked at.
struct Patient {
    layout: Layout,
    locks: Locks,
    backend: Arc<dyn Backend>,
}

impl Patient {
    fn at(url: &StoreUrl) -> Result<Self, StoreError> {
        let backend = super::backend(url)?;
        if !backend.is_store(url.dir())? {
            return Err(StoreError::NoStore { url: url.clone() });
        }
        let layout = Layout::at(url.dir());
        Ok(Self { locks: Locks::new(layout.locks()), layout, backend })
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.left_over()?;
        findings.extend(self.spoilt()?);
        match rows::damage(&self.layout.database())? {
            Some(why) => {
                findings.push(Finding::DamagedDatabase { path: self.layout.database(), why });
            }
            None => {
                let mut rows = Rows::open(&self.layout.database())?;
                // While it is held no result is put in place, so that what is read of both belongs together.
                let rows = rows.lock()?;
                findings.extend(rows.differences(&self.results()?)?);
            }
        }
        Ok(findings)
    }

    fn repair(&self, url: &StoreUrl) -> Result<(), StoreError> {
        let database = self.layout.database();
        if rows::damage(&database)?.is_some() {
            set_aside(&database)?;
        }
        // Removes drafts and clones of caches of killed builds, and what a power failure may have spoilt.
        drop(super::open(url)?);
        let mut rows = Rows::open(&database)?;
        let rows = rows.lock()?;
        rows.mend(&self.results()?)?;
        self.halves()?.iter().try_for_each(|id| self.remove_half(id))
    }

    fn results(&self) -> Result<HashMap<StepId, Time>, StoreError> {
        there(self.backend.results(&self.layout.results()))
    }

    /// What killed builds left, and what is no result among the results.
    fn left_over(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for path in self.paths(&self.layout.drafts())? {
            if self.is_free(path.file_name().and_then(|name| name.to_str()).map(str::to_owned))? {
                findings.push(Finding::LeftOver { path });
            }
        }
        for path in self.paths(&self.layout.cache_clones())? {
            if self.is_free(path.file_name().map(clone_lock))? {
                findings.push(Finding::LeftOver { path });
            }
        }
        for path in self.paths(&self.layout.results())? {
            if id_of(&path).is_none() {
                findings.push(Finding::Stranger { path });
            }
        }
        findings.extend(self.halves()?.into_iter().map(|id| Finding::HalfResult { id }));
        Ok(findings)
    }

    /// What is in `dir`, in order.
    fn paths(&self, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let names = there(self.backend.names(dir))?;
        let mut paths: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        paths.sort();
        Ok(paths)
    }

    /// Results of which only a part is there.
    fn halves(&self) -> Result<Vec<StepId>, StoreError> {
        let whole = self.results()?;
        let there = self.paths(&self.layout.results())?;
        Ok(there.iter().filter_map(|path| id_of(path)).filter(|id| !whole.contains_key(id)).collect())
    }

    fn remove_half(&self, id: &StepId) -> Result<(), StoreError> {
        match self.locks.try_exclusive(id.as_str())? {
            Some(_making) if !self.results()?.contains_key(id) => {
                self.backend.discard(&self.layout.result(id))
            }
            _ => Ok(()),
        }
    }

    fn spoilt(&self) -> Result<Vec<Finding>, StoreError> {
        if self.backend.outlives_power_failure() {
            return Ok(Vec::new());
        }
        let doubtful = Unsynced::open(self.layout.unsynced())?.doubtful()?;
        let ids = doubtful.into_iter().filter_map(|doubtful| doubtful.id);
        Ok(ids.map(|id| Finding::Spoilt { id }).collect())
    }

    /// Whether nobody has the lock of that name.
    fn is_free(&self, lock: Option<String>) -> Result<bool, StoreError> {
        match lock {
            // A store that only the original used has no locks yet.
            Some(name) if self.layout.locks().is_dir() => Ok(self.locks.try_exclusive(&name)?.is_some()),
            _ => Ok(true),
        }
    }
}

fn id_of(path: &Path) -> Option<StepId> {
    path.file_name().and_then(|name| name.to_str()).and_then(StepId::parse)
}

/// Nothing where there is no such directory yet.
fn there<T: Default>(read: Result<T, StoreError>) -> Result<T, StoreError> {
    match read {
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

/// Moves a damaged database, with its logs, to a name that is free.
fn set_aside(database: &Path) -> Result<(), StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for suffix in ["", "-wal", "-shm"] {
        let with = |more: &str| {
            let mut name = database.as_os_str().to_owned();
            name.push(more);
            PathBuf::from(name)
        };
        let (from, to) = (with(suffix), with(&format!(".damaged-{now}{suffix}")));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("move away", from, error));
            }
            _ => {}
        }
    }
    Ok(())
}
