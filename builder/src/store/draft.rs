//! A result in the making in a [`LocalStore`](super::local::LocalStore).
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::Backend;
use super::local::Shelf;
use super::lock::Held;
use super::{Draft, Finished, StoreError};
use crate::step::StepId;

pub(super) struct LocalDraft<B: Backend> {
    shelf: Arc<Shelf<B>>,
    id: StepId,
    base: Option<StepId>,
    dir: PathBuf,
    kept: bool,
    /// Freed after the directory is gone: fields go in this order, after `drop`.
    _lock: Held,
}

impl<B: Backend> LocalDraft<B> {
    pub(super) fn new(shelf: Arc<Shelf<B>>, id: &StepId, base: Option<&StepId>, lock: Held) -> Self {
        let dir = shelf.layout.draft(id);
        Self { shelf, id: id.clone(), base: base.cloned(), dir, kept: false, _lock: lock }
    }

    fn put_in_place(&self) -> Result<PathBuf, StoreError> {
        let shelf = &self.shelf;
        let result = shelf.layout.result(&self.id);
        shelf.unsynced.note(&self.id)?;
        let mut placed = false;
        let added = shelf.database.add(&self.id, self.base.as_ref(), || {
            shelf.backend.commit(&self.dir, &result)?;
            placed = true;
            Ok(())
        });
        match added {
            Ok(()) => Ok(result),
            Err(error) => {
                if placed {
                    shelf.backend.revert(&result, &self.dir)?;
                }
                Err(error)
            }
        }
    }
}

impl<B: Backend> Draft for LocalDraft<B> {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn keep(mut self: Box<Self>) -> Result<Finished, StoreError> {
        let dir = self.put_in_place()?;
        self.kept = true;
        Ok(Finished { dir })
    }
}

impl<B: Backend> Drop for LocalDraft<B> {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.shelf.backend.discard(&self.dir)
        {
            tracing::warn!("{error}");
        }
    }
}
