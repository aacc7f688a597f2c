//! Runs one command in a result's tree, shut in.
//!
//! [`Sandbox`] is what the engine sees; [`user`] is the sandbox that makes a throw-away user of every step.
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use nix::sys::signal::Signal;

use crate::host::{HostError, Process, names};
use crate::spec::User;

pub mod cancel;
pub mod leftovers;
mod length;
pub mod login;
pub mod mount;
mod mount_point;
pub mod paths;
pub mod plan;
pub mod pool;
mod reexec;
mod reown;
#[cfg(target_os = "linux")]
pub mod runc;
mod scratch;
pub mod user;
mod wire;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as platform;

pub use cancel::Cancel;
pub use reexec::reexec;
pub use user::{UserConfig, UserSandbox, View};

/// A command to run, and what it sees.
#[derive(Debug, Clone)]
pub struct Command {
    /// The shell's words, then the command.
    pub argv: Vec<OsString>,
    /// The spec's working directory.
    pub workdir: PathBuf,
    /// Who the spec says it runs as; the user sandbox has a user of its own instead.
    pub user: User,
    /// Variables, in the order they are to be set.
    pub env: Vec<(OsString, OsString)>,
    /// Whether the host's network was asked for.
    pub host_network: bool,
    /// Secrets: where the step sees each, and its bytes.
    pub secrets: Vec<(PathBuf, Vec<u8>)>,
    /// Cache volumes: the directory of each, and where the step sees it.
    pub caches: Vec<(PathBuf, PathBuf)>,
    /// The tree it runs in: the `rootfs` of a [`crate::store::Draft`].
    pub rootfs: PathBuf,
}

/// A step that runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Status, SandboxError>> + Send + 'a>>;

/// Where commands run.
pub trait Sandbox: Send + Sync {
    /// Uid and gid of what steps make that the spec runs as `user`. A base image that is a home is to belong
    /// to the owner for the default user.
    ///
    /// # Errors
    /// The user cannot be made, is not ours, or means nothing to this sandbox.
    fn owner(&self, user: &User) -> Result<(u32, u32), SandboxError>;

    /// Where in the `rootfs` an absolute path of the spec lies, relative to it; `..` never leads out of it.
    fn locate(&self, path: &Path) -> PathBuf;

    /// Runs `command` until it ends; what it prints, on either stream, goes to `output`, which is closed
    /// when this returns. Nothing that it started lives on. To stop it, drop the future or fire `cancel`:
    /// then everything is killed, and the latter gives [`SandboxError::Cancelled`].
    fn run<'a>(&'a self, command: &'a Command, output: OwnedFd, cancel: &'a Cancel) -> Running<'a>;
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It returned this.
    Exited(i32),
    /// This signal killed it.
    Signalled(i32),
}

impl Status {
    /// Whether it did what it was asked.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

/// `exit status 3`, `signal SIGKILL`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signalled(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "signal {signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// Why a command could not be run to its end. A command that fails is a [`Status`].
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// It was stopped on request.
    #[error("cancelled")]
    Cancelled,
    /// The machine did not do what it was asked.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The scoreboard could not be used.
    #[error(transparent)]
    Scoreboard(#[from] obuilderfs::scoreboard::ScoreboardError),
    /// Uids below 500 belong to the system.
    #[error("uid {0} is one of the system's own; choose one of 500 or more with --uid")]
    SystemUid(u32),
    /// The uid is somebody else's.
    #[error(
        "uid {uid} is in use by the account '{name}'{}, which is not obuilder's; choose a free one with --uid",
        in_words(gecos)
    )]
    ForeignAccount {
        /// The uid asked for.
        uid: u32,
        /// Who has it.
        name: String,
        /// Who that is, in words.
        gecos: String,
    },
    /// The uid has no account, but somebody uses it.
    #[error(
        "uid {uid} has no account, and somebody runs processes as it: {}; choose a free one with --uid",
        names(.running)
    )]
    ForeignProcesses {
        /// The uid asked for.
        uid: u32,
        /// What runs as it.
        running: Vec<Process>,
    },
    /// Our account's name exists, but not as we would make it.
    #[error("the account '{name}' has {field} {found}, not {wanted}; remove it and it is made anew")]
    AccountDiffers {
        /// Its name.
        name: String,
        /// Which field is wrong.
        field: &'static str,
        /// What it has.
        found: String,
        /// What is needed.
        wanted: String,
    },
    /// A path in the configuration cannot be what it is given as.
    #[error("{option} {}: {reason}", path.display())]
    Path {
        /// The option's name.
        option: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something in a step's preparation failed.
    #[error("cannot {what}: {reason}")]
    Prepare {
        /// What was being done, with its path.
        what: String,
        /// Why it failed.
        reason: String,
    },
    /// Something else is mounted where the prefix is to be.
    #[error("{} already shows the scoreboard {}, not {}; unmount it, or use its scoreboard", prefix.display(), found.display(), wanted.display())]
    OtherScoreboard {
        /// The mount point.
        prefix: PathBuf,
        /// The scoreboard it shows.
        found: PathBuf,
        /// The scoreboard wanted.
        wanted: PathBuf,
    },
    /// The file system did not start.
    #[error("obuilderfs did not start on {}: {reason}", prefix.display())]
    FileSystemStart {
        /// The mount point.
        prefix: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file system went away under a running step.
    #[error("obuilderfs on {} ended while the step ran ({reason})", prefix.display())]
    FileSystemEnded {
        /// The mount point.
        prefix: PathBuf,
        /// How it ended, or what a look at the mount gives now.
        reason: String,
    },
    /// The spec asks for what its step cannot have.
    #[error("{what}: {reason}")]
    Unusable {
        /// What it asks for.
        what: String,
        /// Why that cannot be.
        reason: String,
    },
    /// There is no container runtime of that name.
    #[error("no container runtime {}; install runc or crun, or name one with --runtime", program.display())]
    NoRuntime {
        /// As it was named.
        program: PathBuf,
    },
    /// The container runtime did not come to run the step, or lost it.
    #[error("{runtime} did not run the step ({status}); what it said is above")]
    Runtime {
        /// Its program.
        runtime: String,
        /// How it ended.
        status: String,
    },
    /// The process that runs the step ended without a word about it.
    #[error("the process that ran the step ended without reporting how ({0})")]
    NoReport(String),
}

fn in_words(gecos: &str) -> String {
    if gecos.is_empty() { String::new() } else { format!(" ({gecos})") }
}
