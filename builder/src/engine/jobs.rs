//! Who wants what: the jobs that run now, one for each id, and their users.
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::BuildError;
use super::live_log::LiveLog;
use crate::sandbox::Cancel;
use crate::step::StepId;
use crate::store::Finished;

/// The jobs of a builder.
#[derive(Default)]
pub(super) struct Jobs(Arc<Mutex<HashMap<StepId, Running>>>);

struct Running {
    job: Arc<Job>,
    /// How many builds want it. None: it has been told to stop, and nobody may join any more.
    users: usize,
}

/// One result in the making.
pub(super) struct Job {
    /// What its step prints.
    pub(super) log: LiveLog,
    /// Fires when nobody wants it any more.
    pub(super) cancel: Cancel,
    outcome: watch::Sender<Option<Outcome>>,
}

/// How a job ended.
#[derive(Clone)]
pub(super) enum Outcome {
    /// It made the result.
    Saved(Finished),
    /// Somebody else had made it meanwhile.
    Found(Finished),
    /// There is no result.
    Failed(Arc<BuildError>),
}

/// What [`Jobs::join`] gives.
pub(super) enum Joined {
    /// The job is there already, and has one user more.
    Theirs(User),
    /// There was none; whoever asked starts it.
    Ours(User, Maker),
    /// It has been told to stop; when it has, ask again.
    Stopping(Arc<Job>),
}

/// A build that wants a job done. Dropping it gives the job up, and the last one stops it.
pub(super) struct User {
    jobs: Arc<Mutex<HashMap<StepId, Running>>>,
    id: StepId,
    job: Arc<Job>,
}

/// Whoever does the job. Dropping it ends the job.
pub(super) struct Maker {
    jobs: Arc<Mutex<HashMap<StepId, Running>>>,
    id: StepId,
    job: Arc<Job>,
}

impl Jobs {
    /// Becomes a user of the job that makes `id`.
    pub(super) fn join(&self, id: &StepId) -> Joined {
        let mut running = self.0.lock();
        match running.get_mut(id) {
            Some(Running { job, users: 0 }) => Joined::Stopping(Arc::clone(job)),
            Some(Running { job, users }) => {
                *users += 1;
                Joined::Theirs(self.user(id, job))
            }
            None => {
                let job = Arc::new(Job {
                    log: LiveLog::default(),
                    cancel: Cancel::default(),
                    outcome: watch::Sender::new(None),
                });
                running.insert(id.clone(), Running { job: Arc::clone(&job), users: 1 });
                let user = self.user(id, &job);
                Joined::Ours(user, Maker { jobs: Arc::clone(&self.0), id: id.clone(), job })
            }
        }
    }

    fn user(&self, id: &StepId, job: &Arc<Job>) -> User {
        User { jobs: Arc::clone(&self.0), id: id.clone(), job: Arc::clone(job) }
    }
}

impl Job {
    /// How it ended; `None` while it runs.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.outcome.borrow().clone()
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        // `self` keeps the sender, so waiting cannot fail.
        let _ = self.outcome.subscribe().wait_for(Option::is_some).await;
    }
}

impl User {
    pub(super) fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Gives it up. If nobody else wants it, returns when it has stopped.
    pub(super) async fn leave(self) {
        let job = Arc::clone(&self.job);
        drop(self);
        if job.cancel.is_cancelled() {
            job.ended().await;
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut running = self.jobs.lock();
        if let Some(entry) = running.get_mut(&self.id).filter(|entry| Arc::ptr_eq(&entry.job, &self.job)) {
            entry.users -= 1;
            if entry.users == 0 {
                self.job.cancel.cancel();
            }
        }
    }
}

impl Maker {
    pub(super) fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Ends the job.
    pub(super) fn end(self, outcome: Outcome) {
        self.remove(outcome);
    }

    fn remove(&self, outcome: Outcome) {
        self.jobs.lock().remove(&self.id);
        self.job.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        if self.job.outcome().is_none() {
            self.remove(Outcome::Failed(Arc::new(BuildError::Thread)));
        }
    }
}
