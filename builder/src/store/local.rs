//! A store in a directory of this machine, whatever its backend: finding, claiming, deleting, and clearing up.
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::Backend;
use super::cache::lock_name;
use super::database::Database;
use super::directory::results;
use super::draft::LocalDraft;
use super::in_use::{Away, InUse, hold, take_away};
use super::layout::Layout;
use super::lock::{Held, Locks};
use super::unsynced::{Note, Unsynced};
use super::{Claim, Entry, Finished, Store, StoreError, Volume};
use crate::step::StepId;

/// The lock of those who open a store. No id has this name.
const OPENING: &str = "opening";

pub(super) struct LocalStore(Arc<Shelf>);

/// What a store and its drafts share.
pub(super) struct Shelf {
    pub(super) layout: Layout,
    pub(super) locks: Locks,
    pub(super) database: Database,
    pub(super) unsynced: Unsynced,
    pub(super) backend: Box<dyn Backend>,
}

impl LocalStore {
    /// Opens the store in `dir`, and removes what a killed process or a power failure left half-made.
    pub(super) fn open(dir: &Path, backend: Box<dyn Backend>) -> Result<Self, StoreError> {
        let layout = Layout::create(dir)?;
        let locks = Locks::new(layout.locks());
        let opening = locks.exclusive(OPENING)?;
        let database = Database::open(&layout.database())?;
        let unsynced = Unsynced::open(layout.unsynced())?;
        drop(opening);
        let shelf = Shelf { layout, locks, database, unsynced, backend };
        shelf.unsynced.doubtful()?.iter().try_for_each(|doubtful| shelf.drop_doubtful(doubtful))?;
        for note in shelf.unsynced.noted()? {
            shelf.is_in_place(&note)?;
        }
        shelf.clear_drafts()?;
        shelf.clear_clones()?;
        shelf.locks.sweep()?;
        Ok(Self(Arc::new(shelf)))
    }

    fn build(&self, id: &StepId, base: Option<&StepId>, lock: Held) -> Result<Claim, StoreError> {
        let shelf = &self.0;
        // What is there without being a whole result was left by a deletion that was cut short.
        shelf.backend.discard(&shelf.layout.result(id))?;
        let base = match base {
            Some(base) => Some((base.clone(), shelf.base(base)?)),
            None => None,
        };
        let draft = LocalDraft::new(Arc::clone(shelf), id, base, lock);
        shelf.backend.discard(&shelf.layout.draft(id))?;
        match draft.base() {
            None => shelf.backend.create(&shelf.layout.draft(id))?,
            Some(base) => shelf.backend.snapshot(&shelf.layout.result(base), &shelf.layout.draft(id))?,
        }
        Ok(Claim::Build(Box::new(draft)))
    }
}

impl Store for LocalStore {
    fn dir(&self) -> &Path {
        self.0.layout.root()
    }

    fn find(&self, id: &StepId) -> Result<Option<Finished>, StoreError> {
        if let Some(in_use) = self.0.hold(id)? {
            self.0.database.touch(id);
            return Ok(Some(Finished { dir: self.0.layout.result(id), _in_use: Arc::new(in_use) }));
        }
        self.0.database.forget(id, || self.0.is_there(id).unwrap_or(true))?;
        Ok(None)
    }

    fn claim(&self, id: &StepId, base: Option<&StepId>) -> Result<Claim, StoreError> {
        if let Some(found) = self.find(id)? {
            return Ok(Claim::Cached(found));
        }
        let lock = self.0.locks.exclusive(id.as_str())?;
        match self.find(id)? {
            Some(found) => Ok(Claim::Cached(found)),
            None => self.build(id, base, lock),
        }
    }

    fn try_claim(&self, id: &StepId, base: Option<&StepId>) -> Result<Option<Claim>, StoreError> {
        if let Some(found) = self.find(id)? {
            return Ok(Some(Claim::Cached(found)));
        }
        let Some(lock) = self.0.locks.try_exclusive(id.as_str())? else { return Ok(None) };
        match self.find(id)? {
            Some(found) => Ok(Some(Claim::Cached(found))),
            None => self.build(id, base, lock).map(Some),
        }
    }

    fn log_in_the_making(&self, id: &StepId) -> PathBuf {
        self.0.layout.draft(id).join("log")
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        self.0.mark_used();
        let there = results(&self.0.layout.results())?;
        let rows = self.0.database.rows()?;
        let known: HashSet<&StepId> = rows.iter().map(|row| &row.id).collect();
        let unknown: Vec<_> = there
            .iter()
            .filter(|(id, _)| !known.contains(id))
            .map(|(id, made)| (id.clone(), *made))
            .collect();
        let mut rows = if unknown.is_empty() {
            rows
        } else {
            self.0.database.register(&unknown)?;
            self.0.database.rows()?
        };
        rows.retain(|row| there.contains_key(&row.id));
        Ok(rows)
    }

    fn cache(&self, name: &OsStr, owner: (u32, u32)) -> Result<Box<dyn Volume>, StoreError> {
        self.0.volume(name, owner)
    }

    fn caches(&self) -> Result<Vec<OsString>, StoreError> {
        self.0.volumes()
    }

    fn delete_cache(&self, name: &OsStr) -> Result<(), StoreError> {
        self.0.remove_volume(name)
    }

    fn delete(&self, id: &StepId) -> Result<(), StoreError> {
        let Some(_lock) = self.0.locks.try_exclusive(id.as_str())? else {
            return Err(StoreError::InUse { id: id.clone() });
        };
        let shelf = &self.0;
        let (result, draft) = (shelf.layout.result(id), shelf.layout.draft(id));
        shelf.database.delete(id, || match take_away(&result)? {
            Away::Free { _dir } => shelf.backend.revert(&result, &draft),
            Away::Used => Err(StoreError::InUse { id: id.clone() }),
            Away::Gone => Ok(()),
        })?;
        shelf.backend.discard(&draft)
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.0.backend.reclaim(self.0.layout.root())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.mark_used();
        self.0.unsynced.sync(|note| self.0.is_in_place(note))
    }
}

impl Shelf {
    /// Whether the result `id` is there as a whole.
    fn is_there(&self, id: &StepId) -> Result<bool, StoreError> {
        let rootfs = self.layout.result(id).join("rootfs");
        match fs::metadata(&rootfs) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(StoreError::io("read", rootfs, error)),
        }
    }

    /// Uses the result `id`, if it is there as a whole.
    fn hold(&self, id: &StepId) -> Result<Option<InUse>, StoreError> {
        let in_use = hold(&self.layout.result(id))?;
        Ok(if self.is_there(id)? { in_use } else { None })
    }

    /// Uses the result `id` to build on.
    fn base(&self, id: &StepId) -> Result<InUse, StoreError> {
        let unknown = || StoreError::UnknownBase { dir: self.layout.root().to_owned(), id: id.clone() };
        self.hold(id)?.ok_or_else(unknown)
    }

    /// Writes down what was used. A full disk is no reason to refuse what is there.
    pub(super) fn mark_used(&self) {
        if let Err(error) = self.database.mark_used(|id| self.is_there(id).unwrap_or(false)) {
            tracing::warn!("{error}");
        }
    }

    /// Whether what is noted is in place by now, or never will be. A result whose builder was killed after it had
    /// put it there and before it registered it gets its row.
    fn is_in_place(&self, note: &Note) -> Result<bool, StoreError> {
        let Some(id) = &note.id else {
            let Some(name) = note.volume() else { return Ok(true) };
            return Ok(self.locks.try_exclusive(&lock_name(&name))?.is_some());
        };
        let Some(_making) = self.locks.try_exclusive(id.as_str())? else { return Ok(false) };
        if !self.is_there(id)? {
            return Ok(true);
        }
        self.backend.seal(&self.layout.result(id))?;
        if !self.database.knows(id)? {
            tracing::info!(%id, "registering a result whose builder was killed");
            self.database.add(id, note.base().as_ref(), || Ok(()))?;
        }
        Ok(true)
    }

    fn drop_doubtful(&self, doubtful: &Note) -> Result<(), StoreError> {
        if let Some(name) = doubtful.volume() {
            return self.drop_doubtful_volume(&name, doubtful);
        }
        let Some(id) = &doubtful.id else { return doubtful.settle() };
        let _lock = self.locks.exclusive(id.as_str())?;
        if !doubtful.is_open() {
            return Ok(());
        }
        tracing::warn!(%id, "dropped a result that may have been spoilt by a power failure");
        self.backend.discard(&self.layout.result(id))?;
        self.database.forget(id, || false)?;
        doubtful.settle()
    }

    fn drop_doubtful_volume(&self, name: &OsStr, doubtful: &Note) -> Result<(), StoreError> {
        let lock = self.locks.exclusive(&lock_name(name))?;
        if doubtful.is_open() && self.layout.cache(name).exists() {
            tracing::warn!(?name, "dropped a cache that may have been spoilt by a power failure");
            self.drop_volume(name, &lock)?;
        }
        doubtful.settle()
    }

    /// Removes the drafts nobody works on: their processes were killed. What cannot be removed now is an error
    /// only for who claims it.
    fn clear_drafts(&self) -> Result<(), StoreError> {
        let drafts = self.layout.drafts();
        let failed = |error| StoreError::io("read", &drafts, error);
        for entry in fs::read_dir(&drafts).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            self.clear_draft(&drafts, &name)?;
        }
        Ok(())
    }

    fn clear_draft(&self, drafts: &Path, name: &OsStr) -> Result<(), StoreError> {
        let Some(id) = name.to_str() else { return Ok(()) };
        if let Some(_lock) = self.locks.try_exclusive(id)? {
            tracing::info!(id, "removing what a killed process left");
            // A result is put here to be deleted too; killed then, the process has left its row.
            if let Some(id) = StepId::parse(id) {
                self.database.forget(&id, || self.is_there(&id).unwrap_or(true))?;
            }
            if let Err(error) = self.backend.discard(&drafts.join(name)) {
                tracing::warn!("{error}");
            }
        }
        Ok(())
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.mark_used();
        if let Err(error) = self.unsynced.sync(|note| self.is_in_place(note)) {
            tracing::warn!("{error}");
        }
    }
}
