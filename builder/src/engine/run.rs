//! `run` steps.
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::job::Task;
use super::jobs::Job;
use super::off_thread::{off_thread, put_away};
use super::output::Output;
use super::work::Work;
use super::{Build, BuildError, Made, Workshop};
use crate::sandbox::{Command, Status};
use crate::spec::Run;
use crate::step::{Context, RunInput};
use crate::store::{Draft, Volume};

/// A command to run in a draft.
pub(super) struct Running {
    input: RunInput,
    host_network: bool,
}

impl Build<'_> {
    /// The result of a `run` from `base`.
    pub(super) async fn run(&mut self, context: &Context, base: Made, run: &Run) -> Result<Made, BuildError> {
        let input = context.run(base.id.clone(), run, &self.order.secrets)?;
        let id = input.id();
        if let Some(made) = self.cached(&id)? {
            return Ok(made);
        }
        let host_network = host_network(&input.network)?;
        let work = Work::Run(Running { input, host_network });
        self.made(Task { id, base: Some(base), work }).await
    }
}

impl Running {
    /// Runs it.
    pub(super) async fn make(
        self,
        workshop: &Arc<Workshop>,
        draft: Box<dyn Draft>,
        job: &Arc<Job>,
    ) -> Result<Box<dyn Draft>, BuildError> {
        let volumes = self.volumes(workshop, job).await?;
        let command = self.command(draft.rootfs(), &volumes);
        let ended = execute(workshop, &command, draft.log(), job).await;
        // However it ended: what a failed or stopped step has put there may serve the next try.
        put_away(volumes).await;
        let failure = match ended {
            Ok(status) if status.success() => return Ok(draft),
            Ok(status) => BuildError::Failed { argv: command.argv, status },
            Err(error) => error,
        };
        put_away(draft).await;
        Err(failure)
    }

    /// The step's clones of its cache volumes.
    async fn volumes(&self, workshop: &Workshop, job: &Job) -> Result<Vec<Box<dyn Volume>>, BuildError> {
        if self.input.cache.is_empty() {
            return Ok(Vec::new());
        }
        let owner = workshop.sandbox.owner(&self.input.user)?;
        let names: Vec<_> = self.input.cache.iter().map(|cache| cache.id.clone()).collect();
        let store = Arc::clone(&workshop.store);
        let cloned = move || names.iter().map(|name| store.cache(name, owner)).collect();
        let volumes: Result<_, _> = off_thread(&job.cancel, cloned).await?;
        Ok(volumes?)
    }

    fn command(&self, rootfs: PathBuf, volumes: &[Box<dyn Volume>]) -> Command {
        let secret = |secret: &crate::step::Secret| (PathBuf::from(&secret.target), secret.value.clone());
        let volumes = volumes.iter().map(|volume| volume.dir().to_owned());
        let targets = self.input.cache.iter().map(|cache| PathBuf::from(&cache.target));
        Command {
            argv: self.input.argv(),
            workdir: PathBuf::from(&self.input.workdir),
            user: self.input.user.clone(),
            env: self.input.env.clone(),
            host_network: self.host_network,
            secrets: self.input.secrets.iter().map(secret).collect(),
            caches: volumes.zip(targets).collect(),
            rootfs,
        }
    }
}

/// Runs `command`, its output shown and stored as it comes.
async fn execute(
    workshop: &Workshop,
    command: &Command,
    log: PathBuf,
    job: &Job,
) -> Result<Status, BuildError> {
    let (mut output, writer) = Output::open(&job.log, log)?;
    let running = workshop.sandbox.run(command, writer, &job.cancel);
    let status = output.follow_while(running).await??;
    if status.success() {
        output.stored()?;
    }
    Ok(status)
}

fn host_network(modes: &[OsString]) -> Result<bool, BuildError> {
    match modes {
        [] => Ok(false),
        [mode] if mode == "host" => Ok(true),
        modes => Err(BuildError::Network(modes.to_vec())),
    }
}
