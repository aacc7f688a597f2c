//! A mount, from its checks to its end.
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use tracing::{info, warn};

use crate::caller;
use crate::changes::Changes;
use crate::daemon;
use crate::fs::{FileSystem, Lifetimes};
use crate::fuse::Requests;
use crate::options::Options;
use crate::platform;
use crate::scoreboard::{Scoreboard, ScoreboardError};
use crate::view::Views;

/// Descriptors kept for recently used objects, at the most.
const RECENT: usize = 4096;

/// What to mount where.
#[derive(Debug)]
pub struct Mount {
    /// The directory of links.
    pub scoreboard: PathBuf,
    /// Where to mount.
    pub mountpoint: PathBuf,
    /// What users without a link see; `None`: what the mount covers.
    pub fallback: Option<PathBuf>,
    /// The `-o` options.
    pub options: Options,
}

/// What ends or announces a mount besides signals.
#[derive(Debug, Default)]
pub struct Lifeline {
    /// A byte is written here once the mount can be used.
    pub ready: Option<OwnedFd>,
    /// The mount ends when this reaches its end of file.
    pub until_eof: Option<OwnedFd>,
    /// The process is a daemon: once mounted it leaves the terminal.
    pub leave_terminal: bool,
}

/// Why a mount could not be made or failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Not root.
    #[error("obuilderfs must run as root: it serves each user with that user's rights; use sudo")]
    NotRoot,
    /// The kernel's FUSE driver is not there.
    #[error("{} is missing: {hint}", path.display())]
    NoFuse {
        /// The device looked for.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The scoreboard is not usable.
    #[error(transparent)]
    Scoreboard(#[from] ScoreboardError),
    /// The scoreboard would be hidden by the mount.
    #[error(
        "scoreboard {} lies under the mount point {}, which would hide it; keep it elsewhere",
        scoreboard.display(),
        mountpoint.display()
    )]
    ScoreboardInside {
        /// The scoreboard.
        scoreboard: PathBuf,
        /// The mount point.
        mountpoint: PathBuf,
    },
    /// A directory given is not usable.
    #[error("{role} {}: {}", path.display(), source.desc())]
    Directory {
        /// What it was to be.
        role: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: Errno,
    },
    /// There is a mount of ours already.
    #[error(
        "{} is an obuilderfs mount already (scoreboard {}); unmount it first: umount {}",
        mountpoint.display(),
        scoreboard.display(),
        mountpoint.display()
    )]
    Mounted {
        /// The mount point.
        mountpoint: PathBuf,
        /// The scoreboard of the mount that is there.
        scoreboard: PathBuf,
    },
    /// A mount is there whose daemon has died.
    #[error(
        "{} is a mount whose file system has died; clear it first: umount {}",
        .0.display(),
        .0.display()
    )]
    Dead(PathBuf),
    /// The system refused.
    #[error("{} cannot be mounted on: {source}", mountpoint.display())]
    Refused {
        /// The mount point.
        mountpoint: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The process could not be set up.
    #[error("{what}: {}", source.desc())]
    Process {
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        source: Errno,
    },
    /// The connection to the kernel broke.
    #[error("serving {} failed: {source}", mountpoint.display())]
    Broken {
        /// The mount point.
        mountpoint: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// The type our mounts show in the mount table.
pub const MOUNT_TYPE: &str = "fuse.obuilderfs";

impl Mount {
    /// Mounts, serves until the mount is taken away, and returns. SIGINT, SIGTERM, SIGHUP and the end of the
    /// lifeline take it away. Call it before any other thread is started.
    ///
    /// # Errors
    /// Whatever kept it from being mounted, or broke it.
    pub fn serve(&self, lifeline: Lifeline) -> Result<(), MountError> {
        let (views, mountpoint, source) = self.prepare()?;
        let process = |what| move |source| MountError::Process { what, source };
        let descriptors = raise_descriptor_limit();
        caller::forget_own_groups().map_err(process("supplementary groups cannot be dropped"))?;
        let ends = block_ending_signals().map_err(process("signals cannot be blocked"))?;
        let changes = Changes::new(self.options.follow_changes).map_err(process("no pipe"))?;
        let fs = Arc::new(FileSystem::new(views, self.options.lifetimes(), changes, descriptors));
        let requests = Requests::new(Arc::clone(&fs), self.options.passthrough);
        let refused = |source| MountError::Refused { mountpoint: mountpoint.clone(), source };
        let session = match self.session(requests, &mountpoint, &source) {
            // Somebody unmounted it while the kernel and we were still agreeing on what it can do.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(()),
            session => session.map_err(refused)?,
        };
        // From here on the mount exists: whatever fails has to take it away.
        let started = platform::limit_capabilities()
            .map_err(process("capabilities cannot be given up"))
            .and_then(|()| {
                end_on_signal(ends, &mountpoint)
                    .and_then(|()| end_on_eof(lifeline.until_eof, &mountpoint))
                    .and_then(|()| fs.follow_changes())
                    .map_err(refused)
            });
        if let Err(error) = started {
            end(&mountpoint);
            return Err(error);
        }
        info!(mountpoint = %mountpoint.display(), scoreboard = %source.display(), "mounted");
        if lifeline.leave_terminal
            && let Err(e) = daemon::leave_terminal()
        {
            warn!("the terminal cannot be left: {e}");
        }
        if let Some(ready) = lifeline.ready {
            let _ = fs::File::from(ready).write_all(b"\n");
        }
        let served =
            session.run().map_err(|source| MountError::Broken { mountpoint: mountpoint.clone(), source });
        info!(mountpoint = %mountpoint.display(), "unmounted");
        served
    }

    /// Checks everything that can be wrong and opens what the mount will hide.
    fn prepare(&self) -> Result<(Views, PathBuf, PathBuf), MountError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(MountError::NotRoot);
        }
        platform::require_fuse()?;
        let mountpoint = self.mountpoint()?;
        let scoreboard = Scoreboard::open(&self.scoreboard)?;
        let source = scoreboard.path().to_owned();
        if source.starts_with(&mountpoint) {
            return Err(MountError::ScoreboardInside { scoreboard: source, mountpoint });
        }
        let fallback = self.fallback.as_ref().unwrap_or(&mountpoint);
        let unusable = |source| MountError::Directory { role: "fallback", path: fallback.clone(), source };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fallback_fd = open(fallback, flags, Mode::empty()).map_err(unusable)?;
        let views = Views::new(scoreboard, &mountpoint, fallback_fd).map_err(unusable)?;
        Ok((views, mountpoint, source))
    }

    /// The canonical mount point, a directory on which there is no mount of ours.
    fn mountpoint(&self) -> Result<PathBuf, MountError> {
        let unusable =
            |source| MountError::Directory { role: "mount point", path: self.mountpoint.clone(), source };
        let path = match self.mountpoint.canonicalize() {
            Ok(path) => path,
            Err(e) if e.raw_os_error() == Some(libc::ENOTCONN) => {
                return Err(MountError::Dead(self.mountpoint.clone()));
            }
            Err(e) => return Err(unusable(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))),
        };
        if let Some(mounted) = platform::mounted_at(&path).filter(|mounted| mounted.kind == MOUNT_TYPE) {
            if fs::metadata(&path).is_err_and(|e| e.raw_os_error() == Some(libc::ENOTCONN)) {
                return Err(MountError::Dead(path));
            }
            return Err(MountError::Mounted { mountpoint: path, scoreboard: mounted.source.into() });
        }
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Ok(path),
            Ok(_) => Err(unusable(Errno::ENOTDIR)),
            Err(e) if e.raw_os_error() == Some(libc::ENOTCONN) => Err(MountError::Dead(path)),
            Err(e) => Err(unusable(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))),
        }
    }

    fn session(&self, requests: Requests, mountpoint: &Path, source: &Path) -> io::Result<Session<Requests>> {
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(platform::threads(self.options.threads));
        platform::start(requests, mountpoint, source, &self.options, config)
    }
}

/// Raises the limit of open files as far as we may. Returns how many descriptors recently used objects get.
fn raise_descriptor_limit() -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return RECENT / 16 };
    if let Err(e) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        warn!("the limit of open files stays as it is: {}", e.desc());
    }
    usize::try_from(hard / 4).map_or(RECENT, |quarter| quarter.min(RECENT))
}

/// Keeps the signals that end a mount from every thread, for one thread to wait for.
fn block_ending_signals() -> Result<SigSet, Errno> {
    let mut ends = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        ends.add(signal);
    }
    ends.thread_block()?;
    Ok(ends)
}

fn end_on_signal(ends: SigSet, mountpoint: &Path) -> io::Result<()> {
    let mountpoint = mountpoint.to_owned();
    spawn("signals", move || {
        let signal = ends.wait();
        info!(?signal, "ending");
        end(&mountpoint);
    })
}

fn end_on_eof(lifeline: Option<OwnedFd>, mountpoint: &Path) -> io::Result<()> {
    let Some(lifeline) = lifeline else { return Ok(()) };
    let mountpoint = mountpoint.to_owned();
    spawn("lifeline", move || {
        let mut lifeline = fs::File::from(lifeline);
        let mut buffer = [0; 64];
        while matches!(lifeline.read(&mut buffer), Ok(1..)) {}
        info!("lifeline closed, ending");
        end(&mountpoint);
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Takes the mount away and ends the process, and with it the connection: nobody may wait for answers that
/// will not come. Nothing is lost, for every write is with the file system below when it is answered.
fn end(mountpoint: &Path) {
    match platform::detach(mountpoint) {
        // Not mounted: somebody was faster.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(e) => warn!(mountpoint = %mountpoint.display(), "cannot be unmounted: {}", e.desc()),
    }
    std::process::exit(0);
}

impl Options {
    fn lifetimes(&self) -> Lifetimes {
        Lifetimes { name: self.entry_timeout, attributes: self.attr_timeout, absence: self.negative_timeout }
    }
}
