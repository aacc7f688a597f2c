//! Taking a result away.
use super::StoreError;
use super::in_use::Away;
use super::local::Shelf;
use crate::step::StepId;

impl Shelf {
    /// Takes the result `id` out of its place, unless somebody uses it, or `may` is against it.
    pub(super) fn set_aside(
        &self,
        id: &StepId,
        may: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (result, draft) = (self.layout.result(id), self.layout.draft(id));
        match self.backend.take_away(&result)? {
            Away::Free { _dir } => may().and_then(|()| self.backend.revert(&result, &draft)),
            Away::Used => Err(StoreError::InUse { id: id.clone() }),
            Away::Gone => Ok(()),
        }
    }

    /// Deletes the result `id` where the database has no room to write that down: the row goes when there is.
    pub(super) fn delete_without_room(&self, id: &StepId) -> Result<(), StoreError> {
        self.set_aside(id, || match self.database.children(id)? {
            0 => Ok(()),
            children => Err(StoreError::HasChildren { id: id.clone(), children }),
        })?;
        self.backend.discard(&self.layout.draft(id))?;
        self.backend.reclaim(self.layout.root())?;
        if let Err(error) = self.database.forget(id, || self.is_there(id).unwrap_or(true)) {
            tracing::debug!("{error}");
        }
        Ok(())
    }
}
