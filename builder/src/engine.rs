//! Runs a build: one step after the other, each from the store or through the sandbox.
//!
//! What it says is OBuilder's log: a heading for each operation, the raw output of each step (from its
//! stored log where it is not run again), and whether its result was saved or found.
mod base;
mod claim;
mod copy;
mod error;
mod log;
mod output;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

pub use error::{BuildError, Kind};
pub use log::Log;

use crate::fetch::Fetch;
use crate::sandbox::{Cancel, Sandbox};
use crate::spec::{Op, Spec, heading};
use crate::step::{Context, StepId};
use crate::store::Store;

/// What a build works with.
pub struct Engine<'e> {
    /// Where results are looked up and kept.
    pub store: Arc<dyn Store>,
    /// Where commands run.
    pub sandbox: &'e dyn Sandbox,
    /// Where base images come from.
    pub fetch: Arc<dyn Fetch>,
    /// The source tree of `(copy (from context) …)`.
    pub source: PathBuf,
    /// Secrets: name and bytes.
    pub secrets: Vec<(OsString, Vec<u8>)>,
    /// Stops the build.
    pub cancel: Cancel,
}

/// One build in progress.
struct Build<'b, 'e> {
    engine: &'b Engine<'e>,
    log: &'b mut Log,
}

impl Engine<'_> {
    /// Builds `spec` and returns the id of its last result.
    ///
    /// # Errors
    /// A step failed, something on the machine did, or the build was cancelled. Nothing of the step that was
    /// being made is kept; the results before it are.
    pub async fn build(&self, spec: &Spec, log: &mut Log) -> Result<StepId, BuildError> {
        Build { engine: self, log }.stage(spec, Context::default()).await
    }
}

impl Engine<'_> {
    /// Does what may take long beside the runtime, so that a signal is heard meanwhile.
    ///
    /// What `work` holds is dropped on its own thread when the build is cancelled first.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BuildError> {
        tokio::select! {
            done = tokio::task::spawn_blocking(work) => done.map_err(|_| BuildError::Thread),
            () = self.cancel.cancelled() => Err(BuildError::Cancelled),
        }
    }
}

impl Build<'_, '_> {
    async fn stage(&mut self, spec: &Spec, mut context: Context) -> Result<StepId, BuildError> {
        for (name, stage) in &spec.builds {
            self.log.line(&heading::build(name))?;
            let id = Box::pin(self.stage(stage, context.clone())).await?;
            self.log.line(&heading::finished(name))?;
            context.scope.insert(name.clone(), id);
        }
        self.log.line(&heading::from(&spec.from))?;
        let (mut base, env) = self.base(&spec.from).await?;
        context.env.extend(env);
        for op in &spec.ops {
            self.log.line(&heading::op(&context.workdir, op))?;
            match op {
                Op::Comment(_) => {}
                Op::Workdir(dir) => context.set_workdir(dir),
                Op::Shell(words) => context.shell.clone_from(words),
                Op::User(user) => context.user = user.clone(),
                Op::Env(name, value) => context.set_env(name, value),
                Op::Run(run) => base = self.run(&context, base, run).await?,
                Op::Copy(copy) => base = self.copy(&context, base, copy).await?,
            }
        }
        Ok(base)
    }
}

#[cfg(test)]
mod tests;
