//! Runs builds: one step after the other, each from the store or through the sandbox.
//!
//! What a build says is OBuilder's log: a heading for each operation, the raw output of each step (from its
//! stored log where it is not run again), and whether its result was saved or found.
//!
//! Builds that run at the same time share their steps: whoever wants a result that is in the making joins the
//! one `job` that makes it.
mod base;
mod claim;
mod copy;
mod error;
mod job;
mod jobs;
mod live_log;
mod log;
mod off_thread;
mod output;
mod run;
mod share;
mod work;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

pub use error::{BuildError, Kind};
pub use log::Log;

use crate::fetch::Fetch;
use crate::sandbox::{Cancel, Sandbox};
use crate::spec::{Op, Spec, heading};
use crate::step::{Context, StepId};
use crate::store::{Finished, Store};

/// Builds specs on one store, in one sandbox. Clones are the same builder.
///
/// Any number of [`Builder::build`]s may run at once, in one task or in many, on a tokio runtime of either
/// flavour with time and I/O enabled. A result that several of them want is made once: all show its step's
/// output, those that come later from its beginning. The step goes on until the last of them gives up.
///
/// ```no_run
/// # async fn example(sandbox: std::sync::Arc<dyn obuilder::sandbox::Sandbox>) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use obuilder::engine::{Builder, Log, Order};
/// use obuilder::fetch::HomeTemplates;
/// use obuilder::sandbox::Cancel;
/// use obuilder::spec::Spec;
/// use obuilder::store;
///
/// let store = store::open(&"rsync:/var/lib/obuilder".parse()?)?;
/// let builder = Builder::new(store, sandbox, Arc::new(HomeTemplates::new("/home".into())));
/// let order = Order {
///     spec: Spec::parse(b"((from empty) (run (shell \"echo hello\")))")?,
///     source: "/nothing/to/copy".into(),
///     secrets: Vec::new(),
/// };
/// let id = builder.build(&order, &mut Log::new(std::io::stdout()), &Cancel::default()).await?;
/// println!("{}", builder.store().find(&id)?.ok_or("deleted meanwhile")?.tree()?.display());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Builder(Arc<Workshop>);

/// What all builds of a [`Builder`] work with.
struct Workshop {
    store: Arc<dyn Store>,
    sandbox: Arc<dyn Sandbox>,
    fetch: Arc<dyn Fetch>,
    jobs: jobs::Jobs,
}

/// What is to be built.
#[derive(Clone)]
pub struct Order {
    /// The spec.
    pub spec: Spec,
    /// The source tree of `(copy (from context) …)`.
    pub source: PathBuf,
    /// Secrets: name and bytes.
    pub secrets: Vec<(OsString, Vec<u8>)>,
}

/// One build in progress.
struct Build<'b> {
    workshop: &'b Arc<Workshop>,
    order: &'b Order,
    log: &'b mut Log,
    cancel: &'b Cancel,
}

/// A result, which nobody can delete while this lives.
#[derive(Clone)]
struct Made {
    id: StepId,
    result: Finished,
}

impl Builder {
    /// A builder that keeps its results in `store`, runs commands in `sandbox`, and has its base images from
    /// `fetch`.
    pub fn new(store: Arc<dyn Store>, sandbox: Arc<dyn Sandbox>, fetch: Arc<dyn Fetch>) -> Self {
        Self(Arc::new(Workshop { store, sandbox, fetch, jobs: jobs::Jobs::default() }))
    }

    /// Where the results are.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Builds what is ordered and returns the id of its last result. What there is to see goes to `log`.
    ///
    /// To give up, fire `cancel`: this returns when what only it wanted is stopped and put away. Or drop the
    /// future: the same happens behind your back.
    ///
    /// # Errors
    /// A step failed, something on the machine did, or the build was cancelled. Nothing of the step that was
    /// being made is kept; the results before it are.
    pub async fn build(&self, order: &Order, log: &mut Log, cancel: &Cancel) -> Result<StepId, BuildError> {
        let mut build = Build { workshop: &self.0, order, log, cancel };
        Ok(build.stage(&order.spec, Context::default()).await?.id)
    }
}

impl Build<'_> {
    async fn stage(&mut self, spec: &Spec, mut context: Context) -> Result<Made, BuildError> {
        // Held, so that nobody deletes what is copied from.
        let mut stages = HashMap::new();
        for (name, stage) in &spec.builds {
            self.log.line(&heading::build(name))?;
            let made = Box::pin(self.stage(stage, context.clone())).await?;
            self.log.line(&heading::finished(name))?;
            context.scope.insert(name.clone(), made.id.clone());
            stages.insert(name, made);
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
