//! Getting a result: from the store, or from the one job that makes it for all who want it.
use std::io;
use std::sync::Arc;

use super::job::{self, Task};
use super::jobs::{Job, Joined, Outcome, User};
use super::live_log::Cursor;
use super::{Build, BuildError, Made};
use crate::step::StepId;

impl Build<'_> {
    /// The result `id`, if it is there; what its step printed is shown again.
    pub(super) fn cached(&mut self, id: &StepId) -> Result<Option<Made>, BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let Some(result) = self.workshop.store.find(id)? else { return Ok(None) };
        self.log.replay(&result.log())?;
        self.using(id)?;
        Ok(Some(Made { id: id.clone(), result }))
    }

    /// What `task` makes. Somebody may be doing it already: then that is shown and waited for.
    pub(super) async fn made(&mut self, task: Task) -> Result<Made, BuildError> {
        let id = task.id.clone();
        let user = self.join(task).await?;
        let outcome = match self.follow(user.job()).await {
            Ok(outcome) => outcome,
            Err(error) => {
                user.leave().await;
                return Err(error);
            }
        };
        let result = match outcome {
            Outcome::Saved(result) => {
                self.log.line(format!("---> saved as \"{id}\"").as_bytes())?;
                result
            }
            Outcome::Found(result) => {
                self.using(&id)?;
                result
            }
            Outcome::Failed(error) => {
                return Err(Arc::try_unwrap(error).unwrap_or_else(BuildError::Shared));
            }
        };
        Ok(Made { id, result })
    }

    fn using(&mut self, id: &StepId) -> Result<(), BuildError> {
        self.log.line(format!("---> using \"{id}\" from cache").as_bytes())
    }

    async fn join(&mut self, task: Task) -> Result<User, BuildError> {
        loop {
            match self.workshop.jobs.join(&task.id) {
                Joined::Theirs(user) => return Ok(user),
                Joined::Ours(user, maker) => {
                    job::start(Arc::clone(self.workshop), task, maker);
                    return Ok(user);
                }
                Joined::Stopping(job) => tokio::select! {
                    () = job.ended() => {}
                    () = self.cancel.cancelled() => return Err(BuildError::Cancelled),
                },
            }
        }
    }

    /// Shows what the job's step prints until the job has ended.
    async fn follow(&mut self, job: &Job) -> Result<Outcome, BuildError> {
        let (mut cursor, mut buffer) = (Cursor::default(), vec![0; 64 * 1024]);
        let mut changes = job.log.changes();
        loop {
            changes.mark_unchanged();
            // Asked first: all that was printed is in the log when the job has ended.
            let outcome = job.outcome();
            loop {
                match job.log.read(&mut cursor, &mut buffer).map_err(unreadable)? {
                    0 => break,
                    n => self.log.output(&buffer[..n])?,
                }
                // A step that never stops printing must not keep others from going on.
                tokio::task::yield_now().await;
                if self.cancel.is_cancelled() {
                    return Err(BuildError::Cancelled);
                }
            }
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(BuildError::Cancelled),
                _ = changes.changed() => {}
                () = job.ended() => {}
            }
        }
    }
}

fn unreadable(error: io::Error) -> BuildError {
    BuildError::LiveLog(error)
}
