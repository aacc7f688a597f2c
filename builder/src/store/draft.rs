//! A result in the making in a [`LocalStore`](super::local::LocalStore).
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::in_use::InUse;
use super::local::Shelf;
use super::lock::Held;
use super::{Draft, Finished, StoreError};
use crate::step::StepId;

pub(super) struct LocalDraft {
    shelf: Arc<Shelf>,
    id: StepId,
    /// What it is made from, which nobody deletes meanwhile.
    base: Option<(StepId, InUse)>,
    dir: PathBuf,
    kept: bool,
    /// Freed after the directory is gone: fields go in this order, after `drop`.
    _lock: Held,
}

impl LocalDraft {
    pub(super) fn new(shelf: Arc<Shelf>, id: &StepId, base: Option<(StepId, InUse)>, lock: Held) -> Self {
        let dir = shelf.layout.draft(id);
        Self { shelf, id: id.clone(), base, dir, kept: false, _lock: lock }
    }

    /// What it is made from.
    pub(super) fn base(&self) -> Option<&StepId> {
        self.base.as_ref().map(|(id, _)| id)
    }

    fn put_in_place(&self) -> Result<Finished, StoreError> {
        let shelf = &self.shelf;
        let result = shelf.layout.result(&self.id);
        let base = self.base().map(|base| shelf.layout.result(base));
        shelf.backend.finish(&self.dir, base.as_deref())?;
        shelf.unsynced.note(&self.id, self.base())?;
        // The directory stays the same one when it is put in place.
        let vanished = || StoreError::io("find", &self.dir, std::io::ErrorKind::NotFound);
        let in_use = shelf.backend.hold(&self.dir)?.ok_or_else(vanished)?;
        let mut placed = false;
        let added = shelf.database.add(&self.id, self.base(), || {
            shelf.backend.commit(&self.dir, &result)?;
            placed = true;
            Ok(())
        });
        match added {
            Ok(()) => {
                if shelf.backend.outlives_power_failure() {
                    shelf.unsynced.forget(&self.id)?;
                }
                Ok(shelf.finished(&self.id, in_use))
            }
            Err(error) => {
                if placed {
                    shelf.backend.revert(&result, &self.dir)?;
                }
                Err(error)
            }
        }
    }
}

impl Draft for LocalDraft {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn log(&self) -> PathBuf {
        self.shelf.backend.files(&self.dir).join("log")
    }

    fn env(&self) -> PathBuf {
        self.shelf.backend.files(&self.dir).join("env")
    }

    fn keep(mut self: Box<Self>) -> Result<Finished, StoreError> {
        let finished = self.put_in_place()?;
        self.kept = true;
        Ok(finished)
    }
}

impl Drop for LocalDraft {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.shelf.backend.discard(&self.dir)
        {
            tracing::warn!("{error}");
        }
    }
}
