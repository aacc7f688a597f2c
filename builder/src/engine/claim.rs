//! Getting hold of a result: found, waited for, or ours to make.
use std::time::Duration;

use super::{Build, BuildError};
use crate::step::StepId;
use crate::store::{Claim, Draft, Finished};

/// How often a result that another process makes is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Build<'_, '_> {
    /// The result `id`, if it is there; what its step printed is shown again.
    pub(super) fn cached(&mut self, id: &StepId) -> Result<Option<Finished>, BuildError> {
        if self.engine.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let Some(found) = self.engine.store.find(id)? else { return Ok(None) };
        self.shown_again(id, found, 0).map(Some)
    }

    /// Shows a result's log from byte `from` on.
    fn shown_again(&mut self, id: &StepId, found: Finished, from: u64) -> Result<Finished, BuildError> {
        self.log.replay(&found.log(), from)?;
        self.log.line(format!("---> using \"{id}\" from cache").as_bytes())?;
        Ok(found)
    }

    /// The right to make `id`. While another process makes it, what its step prints is shown; if that one
    /// keeps it, it is used.
    pub(super) async fn claim(&mut self, id: &StepId, base: Option<&StepId>) -> Result<Claim, BuildError> {
        let (mut shown, mut told) = (0, false);
        loop {
            let (store, wanted, base) = (self.engine.store.clone(), id.clone(), base.cloned());
            match self.engine.off_thread(move || store.try_claim(&wanted, base.as_ref())).await?? {
                Some(Claim::Cached(found)) => {
                    return self.shown_again(id, found, shown).map(Claim::Cached);
                }
                Some(build @ Claim::Build(_)) => return Ok(build),
                None => {}
            }
            if !told {
                tracing::warn!("another process is making this result; waiting for it");
                told = true;
            }
            shown = self.log.replay(&self.engine.store.log_in_the_making(id), shown)?;
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = self.engine.cancel.cancelled() => return Err(BuildError::Cancelled),
            }
        }
    }

    /// Keeps what was made, and says so.
    pub(super) fn keep(&mut self, id: &StepId, draft: Box<dyn Draft>) -> Result<Finished, BuildError> {
        let kept = draft.keep()?;
        self.log.line(format!("---> saved as \"{id}\"").as_bytes())?;
        Ok(kept)
    }
}
