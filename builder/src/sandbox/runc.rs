//! The sandbox that makes a container of every step, with an OCI runtime: runc, crun, or another.
//!
//! The result's tree is the container's `/`; the spec's user runs in it, root with few of root's powers. The
//! step is not process 1 of the container: that is `init`, which the builder brings along.
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::{Cancel, Command, Running, Sandbox, SandboxError, Status, length};
use crate::spec::User;

mod bundle;
pub mod config;
mod init;
pub(super) mod leftovers;
mod points;
mod process;
mod runtime;
mod seccomp;

use bundle::Bundle;
use config::Container;
use points::Points;
use process::Process;
use runtime::Runtime;

/// How the sandbox is set up.
#[derive(Debug, Clone)]
pub struct RuncConfig {
    /// The runtime: a name that is looked for in PATH, or a path.
    pub runtime: PathBuf,
    /// A directory for what does not outlive a step: the store's `state/sandbox`.
    pub state: PathBuf,
    /// Whether sync(2) and its like do nothing in a step.
    pub fast_sync: bool,
}

/// Runs steps in containers, any number at once.
pub struct RuncSandbox {
    config: RuncConfig,
    runtime: Mutex<Option<Runtime>>,
}

impl RuncSandbox {
    /// Nothing is made or started before it is needed.
    pub fn new(config: RuncConfig) -> Self {
        Self { config, runtime: Mutex::new(None) }
    }

    /// The runtime. The first time, what killed builders left is cleared away.
    fn runtime(&self) -> Result<Runtime, SandboxError> {
        let mut known = self.runtime.lock();
        if let Some(runtime) = &*known {
            return Ok(runtime.clone());
        }
        let runtime = Runtime::find(&self.config.runtime, &self.config.state)?;
        leftovers::clear(&self.config.state, &runtime)?;
        Ok(known.insert(runtime).clone())
    }

    async fn run_step(&self, command: &Command, output: OwnedFd) -> Result<Status, SandboxError> {
        let runtime = self.runtime()?;
        length::check(command)?;
        let user = ids(&command.user)?;
        let asked = command.secrets.iter().map(|(target, _)| target);
        asked.chain(command.caches.iter().map(|(_, target)| target)).try_for_each(|t| absolute(t))?;
        for (_, target) in &command.caches {
            points::check_directory(&command.rootfs, target)?;
        }
        // In this order, for they are undone in the other one.
        let bundle = Bundle::make(&self.config.state)?;
        let files = bundle.files(command.host_network)?;
        let secrets = bundle.secrets(&command.secrets, user)?;
        let targets = files.iter().chain(&secrets).map(|(_, target)| target.as_path());
        let points = Points::make(&command.rootfs, targets)?;
        let container = Container {
            argv: std::iter::once(init::PATH.into()).chain(command.argv.iter().cloned()).collect(),
            workdir: points::working_directory(&command.rootfs, &command.workdir)?,
            rootfs: command.rootfs.clone(),
            env: command.env.clone(),
            user,
            host_network: command.host_network,
            files,
            caches: command.caches.clone(),
            secrets,
            fast_sync: self.config.fast_sync,
        };
        bundle.configure(&container)?;
        let mut process = Process::start(runtime, &bundle, user, output)?;
        let status = process.wait().await;
        drop(process);
        points.remove()?;
        status
    }
}

impl Sandbox for RuncSandbox {
    fn owner(&self, user: &User) -> Result<(u32, u32), SandboxError> {
        ids(user)
    }

    /// The tree is `/`. Where `..` leads is found out when the path is walked.
    fn locate(&self, path: &Path) -> PathBuf {
        path.components().filter(|part| *part != Component::RootDir).collect()
    }

    fn run<'a>(&'a self, command: &'a Command, output: OwnedFd, cancel: &'a Cancel) -> Running<'a> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(SandboxError::Cancelled),
                ended = self.run_step(command, output) => ended,
            }
        })
    }
}

/// The largest user and group that runtimes take.
const LARGEST_ID: u32 = i32::MAX as u32;

fn ids(user: &User) -> Result<(u32, u32), SandboxError> {
    match user {
        User::Unix { uid, gid } if [uid, gid].into_iter().any(|id| *id > LARGEST_ID) => {
            Err(SandboxError::Unusable {
                what: format!("(user (uid {uid}) (gid {gid}))"),
                reason: format!("in a container ids go from 0 to {LARGEST_ID}"),
            })
        }
        User::Unix { uid, gid } => Ok((*uid, *gid)),
        User::Windows(name) => Err(SandboxError::Unusable {
            what: format!("(user (name {}))", name.to_string_lossy()),
            reason: "names are for Windows; write (user (uid U) (gid G))".to_owned(),
        }),
    }
}

/// A container has no directory that a relative path could start from.
fn absolute(target: &Path) -> Result<(), SandboxError> {
    if target.is_absolute() {
        return Ok(());
    }
    Err(SandboxError::Unusable {
        what: format!("(target {})", target.display()),
        reason: "it must be an absolute path, that is, begin with '/'".to_owned(),
    })
}

/// A name that nothing else on this machine has: cgroups are named after containers.
fn unique_name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{PREFIX}{now:x}-{process:x}-{count:x}")
}

/// How the names of all containers, and of their directories, begin.
const PREFIX: &str = "obuilder-";

fn prepare(what: String, reason: impl ToString) -> SandboxError {
    SandboxError::Prepare { what, reason: reason.to_string() }
}
