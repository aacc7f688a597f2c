//! macOS: a step is a login by `su`. There are no namespaces: the home is a link, and its processes are found
//! by their uid.
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};

use tokio::process::{Child, Command};

use super::plan::{Plan, Report};
use super::{SandboxError, Status, login};
use crate::host::{SystemHost, macos};
use obuilderfs::mountinfo::Mount;

/// The type that a mount of obuilderfs has, as mount(8) shows it.
pub(super) const KIND: &str = "macfuse";

/// The home is reached by a link, past obuilderfs, so its files must be the user's own.
pub(super) const MAPS_HOME_OWNERS: bool = false;

/// The home is one link for the whole machine.
pub(super) const HOMES_ARE_PRIVATE: bool = false;

/// Only all words together are bounded here.
pub(super) const LONGEST_WORD: Option<usize> = None;

/// The tree itself.
pub(super) fn home_source(rootfs: &Path, _prefix: &Path, _uid: u32) -> PathBuf {
    rootfs.to_owned()
}

/// Nothing was entered.
pub(super) fn leave(_home_source: &Path) {}

/// What is mounted at exactly `point`.
pub(super) fn mounted_at(point: &Path) -> Result<Option<Mount>, SandboxError> {
    Ok(SystemHost::default().mounted_at(point)?)
}

/// Takes away what is mounted at `point`, though its daemon may be dead or its files in use.
pub(super) fn unmount(point: &Path) -> Result<(), SandboxError> {
    Ok(SystemHost::default().unmount(point)?)
}

/// No process of another name is needed here.
pub(super) fn step_main(_program: &OsStr) -> Option<ExitCode> {
    None
}

/// There are no containers here.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere there are, and they may not be listed")]
pub(super) fn containers_left_over(_state: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    Ok(Vec::new())
}

/// There are no containers here.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere there are, and they may not be removed")]
pub(super) fn clear_containers(_state: &Path) -> Result<(), SandboxError> {
    Ok(())
}

/// A step that runs. Dropping it kills its shell; whoever drops it kills the user's other processes.
#[derive(Debug)]
pub(super) struct StepProcess {
    su: Child,
}

impl StepProcess {
    /// Starts it; `output` is closed here when this returns.
    pub(super) fn start(_executable: &Path, plan: &Plan, output: OwnedFd) -> Result<Self, SandboxError> {
        let failed =
            |what: String| move |e: std::io::Error| SandboxError::Prepare { what, reason: e.to_string() };
        if let Some((target, _)) = plan.secrets.first() {
            let reason = "a user of macOS has no mounts of its own";
            let what = format!("show a secret at {}", target.display());
            return Err(SandboxError::Prepare { what, reason: reason.into() });
        }
        let host = SystemHost::default();
        host.replace_link(&plan.home_source, &plan.home)?;
        let temp_dir = host.temp_dir(&plan.name)?;
        let (program, words) = macos::login(&plan.name, login::SCRIPT);
        let (workdir, rest) =
            plan.arguments.split_first().map_or((&[][..], &[][..]), |(w, r)| (std::slice::from_ref(w), r));
        let errors = output.as_fd().try_clone_to_owned().map_err(failed("share the output".into()))?;
        let su = Command::new(program)
            .args(words)
            .args(workdir)
            .arg(format!("TMPDIR={}", temp_dir.display()))
            .args(rest)
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed("start su".into()))?;
        Ok(Self { su })
    }

    /// Waits for it to end. Processes that it left behind may still live.
    pub(super) async fn wait(&mut self) -> Result<Report, SandboxError> {
        let status = self.su.wait().await.map_err(|e| SandboxError::NoReport(e.to_string()))?;
        Ok(Report::Ended { status: status_of(status), left: Vec::new() })
    }
}

fn status_of(status: ExitStatus) -> Status {
    status.code().map_or_else(|| Status::Signalled(status.signal().unwrap_or_default()), Status::Exited)
}
