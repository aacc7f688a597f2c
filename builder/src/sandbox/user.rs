//! The sandbox that makes a throw-away user of every step.
//!
//! A step is a login of the build user whose home is the result's tree and whose prefix is that home's
//! `local`. What it may do is what that user may do; what it started is gone when it ends. The network is the
//! machine's, asked for or not.
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use obuilderfs::scoreboard::Scoreboard;
use parking_lot::Mutex;

use super::mount::{FileSystem, Wanted};
use super::paths::Paths;
use super::plan::{Plan, Report};
use super::platform::{self, StepProcess};
use super::scratch::Scratch;
use super::{Cancel, Command, Running, Sandbox, SandboxError, Status, length, login, pool, reown};
use crate::host::{Account, Host, Process};
use crate::spec::User;
use crate::transfer::interrupt;

pub(super) mod leftovers;
mod users;

use leftovers::{Processes, Published};
use pool::Uids;
use users::Users;

/// How the sandbox is set up.
#[derive(Debug, Clone)]
pub struct UserConfig {
    /// The build users: as many steps run at once as there are.
    pub uids: Uids,
    /// How a step comes to its home and prefix.
    pub view: View,
    /// A directory for what does not outlive a step: the store's `state/sandbox`.
    pub state: PathBuf,
    /// Where the home of every build user appears; [`Host::build_home`] unless there is a reason.
    pub home: PathBuf,
    /// The program that calls [`super::reexec`]: `/proc/self/exe`, or [`std::env::current_exe`].
    pub executable: PathBuf,
}

/// How a step comes to its home and prefix.
#[derive(Debug, Clone)]
pub enum View {
    /// Through obuilderfs, which shows a tree of any build user as the step's own.
    Obuilderfs {
        /// Where it is mounted: Homebrew's prefix.
        prefix: PathBuf,
        /// The scoreboard, made if it is missing.
        scoreboard: PathBuf,
        /// What users without a home see there; what the mount covers if `None`.
        fallback: Option<PathBuf>,
    },
    /// Without a file system in between; a tree of another build user is given to the step's first.
    Direct {
        /// Shows the home's `local` too (Linux only); the machine's own stays in sight if `None`.
        prefix: Option<PathBuf>,
    },
}

/// Runs steps as build users, each of which has one step at a time.
pub struct UserSandbox {
    config: UserConfig,
    paths: Paths,
    users: Users,
    mounted: Mutex<Option<FileSystem>>,
}

impl UserSandbox {
    /// Checks the configuration, and clears away what killed builders left. Nothing is made, mounted or started
    /// before it is needed.
    ///
    /// # Errors
    /// The uid is not to be had, or a path cannot be what it is given as.
    pub fn new(config: UserConfig, host: Box<dyn Host>) -> Result<Self, SandboxError> {
        let prefix = match &config.view {
            View::Obuilderfs { prefix, .. } => Some(prefix.clone()),
            View::Direct { prefix } => prefix.clone(),
        };
        check_paths(&config.home, prefix.as_deref())?;
        let users = Users::new(config.uids, config.home.clone(), host)?;
        let scoreboard = match &config.view {
            View::Obuilderfs { scoreboard, .. } => Some(scoreboard.as_path()),
            View::Direct { .. } => None,
        };
        leftovers::clear(users.host(), &config.state, scoreboard)?;
        let paths = Paths { home: config.home.clone(), prefix };
        Ok(Self { config, paths, users, mounted: Mutex::new(None) })
    }

    /// The file system, started now if it is not there, or not any more.
    fn mount(&self, view: Wanted<'_>) -> Result<(), SandboxError> {
        let mut mounted = self.mounted.lock();
        let there = mounted.as_mut().is_some_and(|file_system| file_system.check().is_ok());
        if !there {
            *mounted = None;
            *mounted = Some(FileSystem::at(view)?);
        }
        Ok(())
    }

    /// Makes the tree ready to be the user's home, and says where the step is to take it from. While what is
    /// returned with it lives, the scoreboard gives it to the user.
    fn home(&self, account: &Account, rootfs: &Path) -> Result<(PathBuf, Option<Published>), SandboxError> {
        let View::Obuilderfs { prefix, scoreboard, fallback } = &self.config.view else {
            reown::reown(rootfs, account.uid, account.gid)?;
            return Ok((rootfs.to_owned(), None));
        };
        if !platform::MAPS_HOME_OWNERS || reown::owner(rootfs)? < pool::FIRST_UID {
            reown::reown(rootfs, account.uid, account.gid)?;
        }
        let published = Published::new(Scoreboard::create(scoreboard)?, account.uid, rootfs)?;
        let executable = &self.config.executable;
        let scoreboard = published.scoreboard().path();
        self.mount(Wanted { executable, prefix, scoreboard, fallback: fallback.as_deref() })?;
        Ok((platform::home_source(rootfs, prefix, account.uid), Some(published)))
    }

    fn plan(&self, account: Account, command: &Command, home_source: PathBuf, scratch: &Path) -> Plan {
        let workdir = self.paths.seen_by_step(&command.workdir);
        let cache = |(dir, target): &(PathBuf, PathBuf)| {
            let names = self.paths.names_in_step(target).into_iter();
            names.map(|name| (dir.clone(), name)).collect::<Vec<_>>()
        };
        Plan {
            uid: account.uid,
            gid: account.gid,
            home_source,
            home: self.paths.home.clone(),
            prefix: self.paths.prefix.clone(),
            scratch: scratch.to_owned(),
            shell: account.shell.clone(),
            arguments: login::arguments(command, &workdir),
            env: login::environment(&account, Path::new("/tmp")),
            secrets: command.secrets.clone(),
            caches: command.caches.iter().flat_map(cache).collect(),
            name: account.name,
        }
    }

    async fn run_step(
        &self,
        command: &Command,
        output: OwnedFd,
        cancel: &Cancel,
    ) -> Result<Status, SandboxError> {
        if !platform::HOMES_ARE_PRIVATE && !command.caches.is_empty() {
            return Err(SandboxError::Unusable {
                what: "(cache …)".to_owned(),
                reason: "this system cannot show a directory to one step alone; leave it out".to_owned(),
            });
        }
        length::check(command)?;
        // In this order, for they are undone in the other one.
        let lease = self.users.take().await?;
        let account = lease.account.clone();
        let processes = Processes::of(self.users.host(), account.uid)?;
        let scratch = Scratch::make(&self.config.state, account.uid)?;
        let rootfs = fs::canonicalize(&command.rootfs).map_err(|e| SandboxError::Prepare {
            what: format!("find {}", command.rootfs.display()),
            reason: e.to_string(),
        })?;
        // Trees that change hands may be large.
        let fired = cancel.clone();
        let prepare = || {
            for (cache, _) in &command.caches {
                // Another build user may have filled it.
                reown::take_over(cache, account.uid, account.gid)?;
            }
            self.home(&account, &rootfs)
        };
        if let View::Obuilderfs { scoreboard, .. } = &self.config.view {
            scratch.note_scoreboard(scoreboard)?;
        }
        let (home_source, published) = interrupt::while_wanted(move || fired.is_cancelled(), prepare)?;
        let _left = published.as_ref().map(|_| Left(home_source.clone()));
        let plan = self.plan(account, command, home_source, scratch.path());
        let report = StepProcess::start(&self.config.executable, &plan, output)?.wait().await?;
        let outlived = processes.end()?;
        if published.is_some()
            && let Some(file_system) = &mut *self.mounted.lock()
        {
            file_system.check()?;
        }
        status(report, outlived)
    }
}

/// Ends the step's view of its home when it is dropped, so that nothing keeps the home busy.
struct Left(PathBuf);

impl Drop for Left {
    fn drop(&mut self) {
        platform::leave(&self.0);
    }
}

impl Sandbox for UserSandbox {
    fn owner(&self, _: &User) -> Result<(u32, u32), SandboxError> {
        self.users.first().map(|account| (account.uid, account.gid))
    }

    fn locate(&self, path: &Path) -> PathBuf {
        self.paths.in_rootfs(path)
    }

    fn run<'a>(&'a self, command: &'a Command, output: OwnedFd, cancel: &'a Cancel) -> Running<'a> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(SandboxError::Cancelled),
                ended = self.run_step(command, output, cancel) => match ended {
                    Err(_) if cancel.is_cancelled() => Err(SandboxError::Cancelled),
                    ended => ended,
                },
            }
        })
    }
}

/// What the report means, and a warning if the step left processes behind.
fn status(report: Report, outlived: Vec<Process>) -> Result<Status, SandboxError> {
    match report {
        Report::NotStarted { what, reason } => Err(SandboxError::Prepare { what, reason }),
        Report::Ended { status, mut left } => {
            left.extend(outlived.into_iter().map(|process| process.name));
            if !left.is_empty() {
                tracing::warn!("the step left processes behind, now killed: {}", left.join(", "));
            }
            Ok(status)
        }
    }
}

/// Home and prefix are bound one after the other, so neither may lie in the other.
fn check_paths(home: &Path, prefix: Option<&Path>) -> Result<(), SandboxError> {
    let refuse =
        |option, path: &Path, reason| Err(SandboxError::Path { option, path: path.to_owned(), reason });
    let is_plain = |path: &Path| {
        path.is_absolute() && path.parent().is_some() && !path.components().any(|c| c == Component::ParentDir)
    };
    if !is_plain(home) {
        return refuse("the build home", home, "must be an absolute path, not / and without ..");
    }
    match prefix {
        Some(prefix) if !is_plain(prefix) => {
            refuse("--fuse-path", prefix, "must be an absolute path, not / and without ..")
        }
        Some(prefix) if prefix.starts_with(home) || home.starts_with(prefix) => {
            refuse("--fuse-path", prefix, "must lie outside the build users' home, and not above it")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_and_prefix_must_not_overlap() {
        let home = Path::new("/home/obuilder");
        for prefix in ["/", "/home", "/home/obuilder", "/home/obuilder/local", "usr/local", "/usr/../home"] {
            let error = check_paths(home, Some(Path::new(prefix))).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--fuse-path {prefix}: must ")), "{error}");
        }
        for prefix in ["/usr/local", "/home/obuilder2", "/tmp/prefix"] {
            check_paths(home, Some(Path::new(prefix))).unwrap();
        }
        check_paths(Path::new("home"), None).unwrap_err();
    }
}
