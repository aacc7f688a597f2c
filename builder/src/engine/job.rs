//! Makes one result, for whoever wants it: claims it, has its work done, and keeps what was made.
use std::sync::Arc;

use super::claim::claim;
use super::jobs::{Job, Maker, Outcome};
use super::work::Work;
use super::{BuildError, Made, Workshop};
use crate::step::StepId;
use crate::store::Claim;

/// A result that is wanted, and how to make it.
pub(super) struct Task {
    pub(super) id: StepId,
    /// What it is made from. Held while the job runs, so that nobody deletes it.
    pub(super) base: Option<Made>,
    pub(super) work: Work,
}

/// Starts the job beside whoever wants it.
pub(super) fn start(workshop: Arc<Workshop>, task: Task, maker: Maker) {
    tokio::spawn(async move {
        let outcome = match carry_out(&workshop, task, maker.job()).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(Arc::new(error)),
        };
        maker.end(outcome);
    });
}

async fn carry_out(workshop: &Arc<Workshop>, task: Task, job: &Arc<Job>) -> Result<Outcome, BuildError> {
    let base = task.base.as_ref().map(|base| &base.id);
    match claim(&workshop.store, &task.id, base, job).await? {
        Claim::Cached(found) => Ok(Outcome::Found(found)),
        Claim::Build(draft) => {
            let draft = task.work.make(workshop, draft, job).await?;
            // The result is whole: a cancellation that comes now comes too late.
            let kept = tokio::task::spawn_blocking(move || draft.keep()).await;
            Ok(Outcome::Saved(kept.map_err(|_| BuildError::Thread)??))
        }
    }
}
