//! What is to be done to turn a draft into a result.
use std::ffi::OsString;
use std::sync::Arc;

use super::copy::Copying;
use super::jobs::Job;
use super::run::Running;
use super::{BuildError, Workshop, base};
use crate::store::Draft;

/// The work of a step.
pub(super) enum Work {
    /// Get the base image of this name.
    Fetch(OsString),
    /// Bring files.
    Copy(Copying),
    /// Run a command.
    Run(Running),
}

impl Work {
    /// Does it. The draft comes back, or is gone.
    pub(super) async fn make(
        self,
        workshop: &Arc<Workshop>,
        draft: Box<dyn Draft>,
        job: &Arc<Job>,
    ) -> Result<Box<dyn Draft>, BuildError> {
        match self {
            Self::Fetch(name) => base::fetch(workshop, name, draft, job).await,
            Self::Copy(copying) => copying.make(workshop, draft, job).await,
            Self::Run(running) => running.make(workshop, draft, job).await,
        }
    }
}
