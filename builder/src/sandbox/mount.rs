//! The obuilderfs that shows every build user its own prefix: found, or started and in the end stopped.
use std::io::{PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use obuilderfs::mountinfo::Mount;

use super::{SandboxError, mount_point, platform};

/// The name under which the builder's executable is the file system.
pub(super) const NAME: &str = "obuilderfs";

/// How long it may take to unmount and end before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be mounted, and where.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The program that becomes `obuilderfs` when started under that name.
    pub executable: &'a Path,
    /// The mount point.
    pub prefix: &'a Path,
    /// The scoreboard, by its canonical path.
    pub scoreboard: &'a Path,
    /// What users without a home see; what the mount covers if `None`.
    pub fallback: Option<&'a Path>,
}

/// A mounted obuilderfs. Dropping it unmounts it, if it was started here.
#[derive(Debug)]
pub struct FileSystem {
    prefix: PathBuf,
    daemon: Option<Daemon>,
}

#[derive(Debug)]
struct Daemon {
    process: Child,
    lifeline: Option<PipeWriter>,
}

impl FileSystem {
    /// Uses the one that is mounted on the prefix for this scoreboard already, or else starts one.
    ///
    /// # Errors
    /// One for another scoreboard is mounted there, or it does not start.
    pub fn at(wanted: Wanted<'_>) -> Result<Self, SandboxError> {
        let prefix = wanted.prefix.to_owned();
        match platform::mounted_at(wanted.prefix)?.filter(|mount| mount.kind == platform::KIND) {
            // A daemon that was killed leaves its mount.
            Some(_) if !answers(wanted.prefix) => platform::unmount(wanted.prefix)?,
            Some(mount) if mount.source == wanted.scoreboard => return Ok(Self { prefix, daemon: None }),
            Some(Mount { source: found, .. }) => {
                return Err(SandboxError::OtherScoreboard {
                    prefix,
                    found,
                    wanted: wanted.scoreboard.to_owned(),
                });
            }
            None => {}
        }
        mount_point::make(wanted.prefix)?;
        let daemon = Daemon::start(wanted)?;
        Ok(Self { prefix, daemon: Some(daemon) })
    }

    /// Whether it is still there.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<(), SandboxError> {
        let ended = self.daemon.as_mut().and_then(|daemon| daemon.process.try_wait().ok().flatten());
        let reason = match (ended, &mut self.daemon) {
            (Some(status), _) => status.to_string(),
            (None, _) if answers(&self.prefix) => return Ok(()),
            // Its end is seen at the mount a moment before it is seen here.
            (None, Some(daemon)) => daemon.end().map_or_else(|e| e.to_string(), |status| status.to_string()),
            (None, None) => "it does not answer any more".to_owned(),
        };
        Err(SandboxError::FileSystemEnded { prefix: self.prefix.clone(), reason })
    }
}

/// Hides an obuilderfs that others mounted on `prefix`, so that this process starts one of its own: theirs does not
/// see what is mounted here. Only for a process with mounts of its own.
///
/// # Errors
/// It cannot be unmounted here.
pub fn hide(prefix: &Path) -> Result<(), SandboxError> {
    while platform::mounted_at(prefix)?.is_some_and(|mount| mount.kind == platform::KIND) {
        platform::unmount(prefix)?;
    }
    Ok(())
}

/// Whether a daemon answers there. The kernel keeps the attributes of the mount point and would answer for those
/// itself.
fn answers(mounted: &Path) -> bool {
    nix::sys::statvfs::statvfs(mounted).is_ok()
}

impl Daemon {
    /// Ends it, if it has not ended yet, and says how it did.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        self.process.kill()?;
        self.process.wait()
    }

    fn start(wanted: Wanted<'_>) -> Result<Self, SandboxError> {
        let failed =
            |reason: String| SandboxError::FileSystemStart { prefix: wanted.prefix.to_owned(), reason };
        let pipe = || std::io::pipe().map_err(|e| failed(e.to_string()));
        let (hold, lifeline) = pipe()?;
        let (mut ready, mounted) = pipe()?;
        // Nobody else is started before both are closed here, so nobody else inherits them.
        for end in [hold.as_fd(), mounted.as_fd()] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|e| failed(e.to_string()))?;
        }
        let process = Command::new(wanted.executable)
            .arg0(NAME)
            .arg("-f")
            .arg(format!("--lifeline-fd={}", hold.as_raw_fd()))
            .arg(format!("--ready-fd={}", mounted.as_raw_fd()))
            .args([wanted.scoreboard, wanted.prefix])
            .args(wanted.fallback)
            // Ctrl-C at the terminal is for the builder, which first stops the steps that use the mount.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        drop((hold, mounted));
        let mut daemon = Self { process, lifeline: Some(lifeline) };
        match ready.read_exact(&mut [0]) {
            Ok(()) => Ok(daemon),
            Err(_) => Err(failed(daemon.stop().map_or_else(|e| e.to_string(), |status| status.to_string()))),
        }
    }

    /// Lets go of it, waits for it to unmount and end, and loses patience at last.
    fn stop(&mut self) -> std::io::Result<ExitStatus> {
        self.lifeline = None;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        tracing::warn!("obuilderfs (process {}) does not end; killing it", self.process.id());
        self.process.kill()?;
        self.process.wait()
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        match daemon.stop() {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!("obuilderfs on {} ended with {status}", self.prefix.display()),
            Err(error) => {
                tracing::warn!("obuilderfs on {} cannot be waited for: {error}", self.prefix.display());
            }
        }
        let left = platform::mounted_at(&self.prefix).ok().flatten();
        if left.is_some_and(|mount| mount.kind == platform::KIND)
            && let Err(error) = platform::unmount(&self.prefix)
        {
            tracing::warn!("{error}");
        }
    }
}
