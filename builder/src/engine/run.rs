//! `run` steps.
use std::path::PathBuf;

use super::output::Output;
use super::{Build, BuildError};
use crate::sandbox::{Command, Status};
use crate::spec::Run;
use crate::step::{Context, RunInput, StepId};
use crate::store::Claim;

impl Build<'_, '_> {
    /// The result of a `run` from `base`.
    pub(super) async fn run(
        &mut self,
        context: &Context,
        base: StepId,
        run: &Run,
    ) -> Result<StepId, BuildError> {
        let input = context.run(base, run, &self.engine.secrets)?;
        let id = input.id();
        if self.cached(&id)?.is_some() {
            return Ok(id);
        }
        let host_network = host_network(&input)?;
        if !input.cache.is_empty() {
            return Err(BuildError::Cache);
        }
        if let Claim::Build(draft) = self.claim(&id, Some(&input.base)).await? {
            let command = command(&input, draft.rootfs(), host_network);
            let status = self.execute(&command, draft.log()).await?;
            if !status.success() {
                return Err(BuildError::Failed { argv: command.argv, status });
            }
            self.keep(&id, draft)?;
        }
        Ok(id)
    }

    /// Runs `command`, its output shown and stored as it comes.
    async fn execute(&mut self, command: &Command, log: PathBuf) -> Result<Status, BuildError> {
        let (mut output, writer) = Output::open(log)?;
        let engine = self.engine;
        let running = engine.sandbox.run(command, writer, &engine.cancel);
        let status = output.follow_while(running, self.log).await??;
        if status.success() {
            output.stored()?;
        }
        Ok(status)
    }
}

fn host_network(input: &RunInput) -> Result<bool, BuildError> {
    match input.network.as_slice() {
        [] => Ok(false),
        [mode] if mode == "host" => Ok(true),
        modes => Err(BuildError::Network(modes.to_vec())),
    }
}

fn command(input: &RunInput, rootfs: PathBuf, host_network: bool) -> Command {
    let secret = |secret: &crate::step::Secret| (PathBuf::from(&secret.target), secret.value.clone());
    Command {
        argv: input.argv(),
        workdir: PathBuf::from(&input.workdir),
        user: input.user.clone(),
        env: input.env.clone(),
        host_network,
        secrets: input.secrets.iter().map(secret).collect(),
        caches: Vec::new(),
        rootfs,
    }
}
