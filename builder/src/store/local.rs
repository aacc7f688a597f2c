//! A store in a directory of this machine, whatever its backend: finding, claiming, deleting, and clearing up.
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::Backend;
use super::cache::title;
use super::database::Database;
use super::draft::LocalDraft;
use super::in_use::InUse;
use super::layout::Layout;
use super::lock::{Held, Locks};
use super::unsynced::Unsynced;
use super::{Claim, Entry, Finished, Store, StoreError, Tree, Volume};
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
    pub(super) backend: Arc<dyn Backend>,
}

impl LocalStore {
    /// Opens the store in `dir`, and removes what a killed process or a power failure left half-made.
    pub(super) fn open(dir: &Path, backend: Arc<dyn Backend>) -> Result<Self, StoreError> {
        backend.prepare(dir)?;
        let layout = Layout::create(dir)?;
        let locks = Locks::new(layout.locks());
        let opening = locks.exclusive(OPENING)?;
        let database = Database::open(&layout.database())?;
        let unsynced = Unsynced::open(layout.unsynced())?;
        drop(opening);
        let shelf = Shelf { layout, locks, database, unsynced, backend };
        shelf.recover()?;
        shelf.locks.sweep()?;
        Ok(Self(Arc::new(shelf)))
    }

    /// What there is to do about `id` for the one who has its lock.
    fn settle(&self, id: &StepId, base: Option<&StepId>, lock: Held) -> Result<Claim, StoreError> {
        match self.find(id)? {
            Some(found) => Ok(Claim::Cached(found)),
            None => self.build(id, base, lock),
        }
    }

    fn build(&self, id: &StepId, base: Option<&StepId>, lock: Held) -> Result<Claim, StoreError> {
        let shelf = &self.0;
        let base = match base {
            Some(base) => Some((base.clone(), shelf.base(base)?)),
            None => None,
        };
        let draft = LocalDraft::new(Arc::clone(shelf), id, base, lock);
        let dir = shelf.layout.draft(id);
        shelf.backend.make_room(&shelf.layout.result(id), &dir)?;
        match draft.base() {
            None => shelf.backend.create(&dir)?,
            Some(base) => {
                let made = shelf.backend.snapshot(&shelf.layout.result(base), &dir);
                // That it is whole is asked only when something is wrong.
                if made.is_err() && !shelf.is_there(base)? {
                    return Err(shelf.unknown_base(base));
                }
                made?;
            }
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
            return Ok(Some(self.0.finished(id, in_use)));
        }
        self.0.database.forget(id, || self.0.is_there(id).unwrap_or(true))?;
        Ok(None)
    }

    fn peek(&self, id: &StepId) -> Result<Option<Finished>, StoreError> {
        Ok(self.0.hold(id)?.map(|in_use| self.0.finished(id, in_use)))
    }

    fn stamp(&self, entry: &Entry) -> Result<(), StoreError> {
        self.0.database.stamp(entry)
    }

    fn mounts_drafts(&self) -> bool {
        self.0.backend.mounts_drafts()
    }

    fn claim(&self, id: &StepId, base: Option<&StepId>) -> Result<Claim, StoreError> {
        match self.try_claim(id, base)? {
            Some(claim) => Ok(claim),
            None => self.settle(id, base, self.0.locks.exclusive(id.as_str())?),
        }
    }

    fn try_claim(&self, id: &StepId, base: Option<&StepId>) -> Result<Option<Claim>, StoreError> {
        match self.0.locks.try_exclusive(id.as_str())? {
            Some(lock) => self.settle(id, base, lock).map(Some),
            None => Ok(None),
        }
    }

    fn log_in_the_making(&self, id: &StepId) -> PathBuf {
        self.0.backend.files(&self.0.layout.draft(id)).join("log")
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        self.0.mark_used();
        let there = self.0.backend.results(&self.0.layout.results())?;
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

    fn base_images(&self) -> Result<Vec<OsString>, StoreError> {
        let mut names = self.0.backend.images(&self.0.layout.base_images())?;
        names.sort();
        Ok(names)
    }

    fn base_image(&self, name: &OsStr) -> Result<Option<Tree>, StoreError> {
        let image = self.0.layout.base_images().join(name);
        let (place, held) = self.0.place(OsStr::new("image"))?;
        let shown = self.0.backend.show_image(&image, &place)?;
        Ok(shown.map(|(path, shown)| Tree::new(path, shown, held)))
    }

    fn cache(&self, name: &OsStr, owner: (u32, u32)) -> Result<Box<dyn Volume>, StoreError> {
        self.0.volume(name, owner)
    }

    fn caches(&self) -> Result<Vec<OsString>, StoreError> {
        self.0.volumes()
    }

    fn cache_title(&self, name: &OsStr) -> OsString {
        title(name, |title| self.0.backend.cache_name(title))
    }

    fn delete_cache(&self, name: &OsStr) -> Result<(), StoreError> {
        self.0.remove_volume(name)
    }

    fn delete(&self, id: &StepId) -> Result<(), StoreError> {
        let Some(_lock) = self.0.locks.try_exclusive(id.as_str())? else {
            return Err(StoreError::InUse { id: id.clone() });
        };
        let shelf = &self.0;
        match shelf.database.delete(id, || shelf.set_aside(id, || Ok(()))) {
            Err(error) if error.is_full_device() => shelf.delete_without_room(id),
            deleted => deleted.and_then(|()| shelf.backend.discard(&shelf.layout.draft(id))),
        }
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.0.backend.reclaim(self.0.layout.root())
    }

    fn free(&self) -> Result<f64, StoreError> {
        self.0.backend.free(self.0.layout.root())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.mark_used();
        self.0.sync()
    }
}

impl Shelf {
    /// Whether the result `id` is there as a whole.
    pub(super) fn is_there(&self, id: &StepId) -> Result<bool, StoreError> {
        self.backend.is_whole(&self.layout.result(id))
    }

    /// Uses the result `id`, if it is there as a whole.
    fn hold(&self, id: &StepId) -> Result<Option<InUse>, StoreError> {
        let Some(in_use) = self.backend.hold(&self.layout.result(id))? else { return Ok(None) };
        Ok(self.is_there(id)?.then_some(in_use))
    }

    /// The result `id`, which is there.
    pub(super) fn finished(&self, id: &StepId, in_use: InUse) -> Finished {
        let backend = Arc::clone(&self.backend);
        Finished { dir: self.layout.result(id), backend, in_use: Arc::new(in_use) }
    }

    /// Uses the result `id`, if there is something of it, to build on.
    fn base(&self, id: &StepId) -> Result<InUse, StoreError> {
        self.backend.hold(&self.layout.result(id))?.ok_or_else(|| self.unknown_base(id))
    }

    fn unknown_base(&self, id: &StepId) -> StoreError {
        StoreError::UnknownBase { dir: self.layout.root().to_owned(), id: id.clone() }
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.unsynced.sync(self.backend.outlives_power_failure(), |note| self.is_in_place(note))
    }

    /// Writes down what was used. A full disk is no reason to refuse what is there.
    pub(super) fn mark_used(&self) {
        if let Err(error) = self.database.mark_used(|id| self.is_there(id).unwrap_or(false)) {
            tracing::warn!("{error}");
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.mark_used();
        if let Err(error) = self.sync() {
            tracing::warn!("{error}");
        }
    }
}
