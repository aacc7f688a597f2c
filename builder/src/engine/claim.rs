//! Getting hold of a result: found, waited for, or ours to make.
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::BuildError;
use super::jobs::Job;
use super::live_log::LiveLog;
use super::off_thread::off_thread;
use crate::step::StepId;
use crate::store::{Claim, Store};

/// How often a result that another process makes is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The right to make `id`. While another process makes it, what its step prints is the job's log; if that one
/// keeps it, it is used.
pub(super) async fn claim(
    store: &Arc<dyn Store>,
    id: &StepId,
    base: Option<&StepId>,
    job: &Job,
) -> Result<Claim, BuildError> {
    let (mut reading, mut told) = (false, false);
    loop {
        let (asked, wanted, base) = (Arc::clone(store), id.clone(), base.cloned());
        let claim = off_thread(&job.cancel, move || asked.try_claim(&wanted, base.as_ref())).await??;
        match claim {
            Some(Claim::Cached(found)) => {
                show(&job.log, &mut reading, &found.log())?;
                return Ok(Claim::Cached(found));
            }
            Some(build @ Claim::Build(_)) => return Ok(build),
            None => {}
        }
        if !told {
            tracing::warn!("another process is making this result; waiting for it");
            told = true;
        }
        show(&job.log, &mut reading, &store.log_in_the_making(id))?;
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = job.cancel.cancelled() => return Err(BuildError::Cancelled),
        }
    }
}

/// Shows what is in the log of another process, or more of it. A result without a log printed nothing.
fn show(log: &LiveLog, reading: &mut bool, path: &Path) -> Result<(), BuildError> {
    let failed = |error| BuildError::Io { path: path.to_owned(), error };
    if !*reading {
        match File::open(path) {
            Ok(file) => log.begin(file, 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        *reading = true;
    }
    log.refresh().map_err(failed)
}
