//! Linux: a step runs in mount, pid and ipc namespaces of its own.
//!
//! The builder starts its own executable under the name [`STEP`] (a process of one thread, which alone may
//! fork and go on); that one makes the namespaces and stays outside as *supervisor*; its child is process 1
//! inside, the *init*: it mounts, starts the command as the user, waits, kills what is left and reports.
//! The three pipes are the supervisor's standard streams: stdin carries the [`Plan`] and is then the
//! lifeline, whose end means stop; stdout carries the [`Report`]; stderr is the step's output.
use std::ffi::OsStr;
use std::fs;
use std::io::{PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::mount::{MntFlags, umount2};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::plan::{Plan, Report};
use super::{SandboxError, mount_point};
use obuilderfs::mountinfo::{self, Mount};

mod init;
mod mirror;
mod mounts;
mod secrets;
mod supervisor;

/// The name under which the builder's executable runs a step.
const STEP: &str = "obuilder-step";

/// The type that a mount of obuilderfs has.
pub(super) const KIND: &str = "fuse.obuilderfs";

/// obuilderfs shows a whole home, and its owner's files as the user's.
pub(super) const MAPS_HOME_OWNERS: bool = true;

/// Each step has the home at its path for itself.
pub(super) const HOMES_ARE_PRIVATE: bool = true;

/// The longest word that execve(2) takes (`MAX_ARG_STRLEN`), without the NUL that ends it.
pub(super) const LONGEST_WORD: Option<usize> = Some(128 * 1024 - 1);

/// A private view (`PREFIX/.obuilderfs/UID-TOKEN`): the tree that the scoreboard gives to `uid` now, in which
/// nothing but this step is seen. Each token is a view of its own.
pub(super) fn home_source(_rootfs: &Path, prefix: &Path, uid: u32) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    prefix.join(".obuilderfs").join(format!("{uid}-{now:x}{process:x}{count:x}"))
}

/// Lets go of the private view `home_source`, which the kernel would keep until it wants the memory. What has gone
/// with its mount needs nothing.
pub(super) fn leave(home_source: &Path) {
    let _ = fs::remove_dir(home_source);
}

/// What is mounted at exactly `point`, in this process's mount namespace.
pub(super) fn mounted_at(point: &Path) -> Result<Option<Mount>, SandboxError> {
    let table = "/proc/thread-self/mountinfo";
    let bytes = fs::read(table)
        .map_err(|e| SandboxError::Prepare { what: format!("read {table}"), reason: e.to_string() })?;
    Ok(mountinfo::at(&bytes, point))
}

/// Takes away what is mounted at `point`, though its daemon may be dead or its files in use.
pub(super) fn unmount(point: &Path) -> Result<(), SandboxError> {
    umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).map_err(|e| SandboxError::Prepare {
        what: format!("unmount {}", point.display()),
        reason: e.desc().to_owned(),
    })
}

/// Directories in `state` of containers whose builder was killed.
pub(super) fn containers_left_over(state: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    super::runc::leftovers::find(state)
}

/// Removes them.
pub(super) fn clear_containers(state: &Path) -> Result<(), SandboxError> {
    super::runc::leftovers::clear_by_any(state)
}

/// If this process was started, under the name `program`, to run a step, runs it.
pub(super) fn step_main(program: &OsStr) -> Option<ExitCode> {
    (program == STEP).then(supervisor::main)
}

/// A step that runs. Dropping it kills whatever is left of it, and returns when that is gone.
#[derive(Debug)]
pub(super) struct StepProcess {
    supervisor: Child,
    lifeline: Option<PipeWriter>,
    reports: pipe::Receiver,
}

impl StepProcess {
    /// Starts it; `output` is closed here when this returns.
    pub(super) fn start(executable: &Path, plan: &Plan, output: OwnedFd) -> Result<Self, SandboxError> {
        let failed = |e: std::io::Error| SandboxError::Prepare {
            what: format!("start {} to run the step", executable.display()),
            reason: e.to_string(),
        };
        mount_point::make(&plan.home)?;
        plan.prefix.as_deref().map_or(Ok(()), mount_point::make)?;
        let (requests, mut lifeline) = std::io::pipe().map_err(failed)?;
        let (reports, reporter) = std::io::pipe().map_err(failed)?;
        let supervisor = Command::new(executable)
            .arg0(STEP)
            .env_clear()
            // Ctrl-C at the terminal is for the builder, which then stops the step in order.
            .process_group(0)
            .stdin(requests)
            .stdout(reporter)
            .stderr(Stdio::from(output))
            .spawn()
            .map_err(failed)?;
        let reports = pipe::Receiver::from_owned_fd(reports.into());
        let sent = lifeline.write_all(&supervisor::framed(plan));
        let mut step = Self { supervisor, lifeline: Some(lifeline), reports: reports.map_err(failed)? };
        match sent {
            Ok(()) => Ok(step),
            Err(_) => Err(step.no_report()),
        }
    }

    /// Waits for it to end. When this returns nothing of it is left.
    pub(super) async fn wait(&mut self) -> Result<Report, SandboxError> {
        let mut bytes = Vec::new();
        let read = self.reports.read_to_end(&mut bytes).await;
        match read.ok().and_then(|_| Report::decode(&bytes)) {
            Some(report) => {
                let _ = self.supervisor.wait();
                Ok(report)
            }
            None => Err(self.no_report()),
        }
    }

    fn no_report(&mut self) -> SandboxError {
        self.lifeline = None;
        match self.supervisor.wait() {
            Ok(status) => SandboxError::NoReport(status.to_string()),
            Err(error) => SandboxError::NoReport(error.to_string()),
        }
    }
}

impl Drop for StepProcess {
    fn drop(&mut self) {
        self.lifeline = None;
        if let Err(error) = self.supervisor.wait() {
            tracing::warn!("the step's supervisor cannot be waited for: {error}");
        }
    }
}
