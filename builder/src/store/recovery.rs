//! What killed processes and power failures have left, and what becomes of it when a store is opened.
use std::ffi::OsStr;
use std::path::Path;

use super::StoreError;
use super::cache::lock_name;
use super::local::Shelf;
use super::unsynced::Note;
use crate::step::StepId;

impl Shelf {
    /// Settles what was left half-made.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        self.unsynced.doubtful()?.iter().try_for_each(|doubtful| self.drop_doubtful(doubtful))?;
        for note in self.unsynced.noted()? {
            self.is_in_place(&note)?;
        }
        self.clear_drafts()?;
        self.clear_clones()
    }

    /// Whether what is noted is in place by now, or never will be. A result whose builder was killed after it had
    /// put it there and before it registered it gets its row.
    pub(super) fn is_in_place(&self, note: &Note) -> Result<bool, StoreError> {
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

    /// Settles what an earlier boot noted: it goes, unless it cannot have been spoilt.
    fn drop_doubtful(&self, doubtful: &Note) -> Result<(), StoreError> {
        if self.backend.outlives_power_failure() {
            self.is_in_place(doubtful)?;
            return doubtful.settle();
        }
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
        if doubtful.is_open() && self.backend.volume(&self.layout.cache(name))?.is_some() {
            tracing::warn!(?name, "dropped a cache that may have been spoilt by a power failure");
            self.drop_volume(name, &lock)?;
        }
        doubtful.settle()
    }

    /// Removes the drafts nobody works on: their processes were killed. What cannot be removed now is an error
    /// only for who claims it.
    fn clear_drafts(&self) -> Result<(), StoreError> {
        let drafts = self.layout.drafts();
        self.backend.names(&drafts)?.iter().try_for_each(|name| self.clear_draft(&drafts, name))
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
