//! Mounts, from their checks to their end.
mod ending;
mod error;
mod prepare;

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

use self::ending::Ending;
pub use self::error::{MountError, Silent};
use self::prepare::{Prepared, prepare};
use crate::caller;
use crate::changes::Changes;
use crate::daemon;
use crate::fs::{Descriptors, FileSystem, Lifetimes};
use crate::fuse::Requests;
use crate::options::Options;
use crate::platform;

/// Descriptors kept for recently used objects, at the most.
const RECENT: usize = 4096;

/// The type our mounts show in the mount table.
pub const MOUNT_TYPE: &str = "fuse.obuilderfs";

/// What to mount where.
#[derive(Debug)]
pub struct Mount {
    /// The directory of links.
    pub scoreboard: PathBuf,
    /// Where to mount what; at least one.
    pub maps: Vec<Map>,
    /// What users without a link see at the first mount point; `None`: what the mount covers, as at the others.
    pub fallback: Option<PathBuf>,
    /// The `-o` options.
    pub options: Options,
}

/// A mount point and the part of each home that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Where.
    pub mountpoint: PathBuf,
    /// A directory of the home, by its name; `None`: the home itself.
    pub subdirectory: Option<String>,
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

/// A mount that is there, to be served.
struct Mounted {
    mountpoint: PathBuf,
    fs: Arc<FileSystem>,
    session: Session<Requests>,
}

impl Mount {
    /// Mounts, serves until every mount is taken away, and returns. SIGINT, SIGTERM, SIGHUP and the end of the
    /// lifeline take them away. Call it before any other thread is started.
    ///
    /// # Errors
    /// Whatever kept them from being mounted, or broke one.
    pub fn serve(&self, lifeline: Lifeline) -> Result<(), MountError> {
        platform::keep_little_memory();
        let prepared = prepare(self)?;
        let process = |what| move |source| MountError::Process { what, source };
        let descriptors = share_out(raise_descriptor_limit() / prepared.len().max(1));
        caller::forget_own_groups().map_err(process("supplementary groups cannot be dropped"))?;
        let ends = ending::block_ending_signals().map_err(process("signals cannot be blocked"))?;
        let mounted = self.mount_all(prepared, descriptors)?;
        let ending = Ending::of(mounted.iter().map(|one| one.mountpoint.clone()).collect());
        let started = (|| {
            platform::limit_capabilities().map_err(process("capabilities cannot be given up"))?;
            let thread = |source| MountError::Thread { source };
            ending::end_on_signal(ends, &ending).map_err(thread)?;
            ending::end_on_eof(lifeline.until_eof, &ending).map_err(thread)?;
            mounted.iter().try_for_each(|one| one.fs.follow()).map_err(thread)
        })();
        // Whatever failed must not leave a mount behind that nobody serves.
        started.inspect_err(|_| ending.detach())?;
        if lifeline.leave_terminal
            && let Err(e) = daemon::leave_terminal()
        {
            warn!("the terminal cannot be left: {e}");
        }
        announce(lifeline.ready);
        let served = run(mounted);
        ending.dismiss_guard();
        served
    }

    fn mount_all(
        &self,
        prepared: Vec<Prepared>,
        descriptors: Descriptors,
    ) -> Result<Vec<Mounted>, MountError> {
        let mut all = Vec::<Mounted>::new();
        for one in prepared {
            let mountpoint = one.mountpoint.clone();
            match self.mount(one, descriptors) {
                Ok(mounted) => all.push(mounted),
                // Somebody unmounted it while the kernel and we were still agreeing on what it can do.
                Err(MountError::Refused { source, .. }) if source.kind() == io::ErrorKind::NotConnected => {
                    info!(mountpoint = %mountpoint.display(), "unmounted before it was used");
                }
                Err(e) => {
                    all.iter().for_each(|mounted| ending::detach(std::slice::from_ref(&mounted.mountpoint)));
                    return Err(e);
                }
            }
        }
        Ok(all)
    }

    fn mount(&self, one: Prepared, descriptors: Descriptors) -> Result<Mounted, MountError> {
        let Prepared { views, mountpoint, source } = one;
        let changes = Changes::new(self.options.follow_changes)
            .map_err(|source| MountError::Process { what: "no pipe", source })?;
        let fs = Arc::new(FileSystem::new(views, self.options.lifetimes(), changes, descriptors));
        let requests = Requests::new(Arc::clone(&fs), self.options.passthrough);
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(platform::threads(self.options.threads));
        match platform::start(requests, &mountpoint, &source, &self.options, config) {
            Ok(session) => {
                info!(mountpoint = %mountpoint.display(), scoreboard = %source.display(), "mounted");
                Ok(Mounted { mountpoint, fs, session })
            }
            Err(source) => Err(MountError::Refused { mountpoint, source }),
        }
    }
}

/// Gives our mount on `mountpoint` what the kernel can change while it is there: `ro`, `rw`, `exec`, `noexec`,
/// `atime`, `noatime`. Other options stay as they are, as those of an `/etc/fstab` do that are repeated.
///
/// # Errors
/// There is no mount of ours, or the system refuses.
pub fn remount(mountpoint: &Path, options: &Options) -> Result<(), MountError> {
    let path = mountpoint.canonicalize().unwrap_or_else(|_| mountpoint.to_owned());
    if platform::mounted_at(&path).is_none_or(|mounted| mounted.kind != MOUNT_TYPE) {
        return Err(MountError::NotMounted { mountpoint: path });
    }
    platform::remount(&path, options).map_err(|source| match source {
        Errno::EBUSY => MountError::Written { mountpoint: path },
        source => MountError::Unchanged { mountpoint: path, source },
    })
}

/// Serves each mount until it is taken away.
fn run(mounted: Vec<Mounted>) -> Result<(), MountError> {
    let threads: Vec<_> = mounted
        .into_iter()
        .map(|Mounted { mountpoint, session, .. }| {
            std::thread::spawn(move || {
                let served = session.run();
                info!(mountpoint = %mountpoint.display(), "unmounted");
                served.map_err(|source| MountError::Broken { mountpoint, source })
            })
        })
        .collect();
    let mut outcome = Ok(());
    for thread in threads {
        let served = thread.join().unwrap_or_else(|_| {
            let source = io::Error::other("a thread that answers requests panicked");
            Err(MountError::Thread { source })
        });
        outcome = outcome.and(served);
    }
    outcome
}

/// Tells whoever waits that the mounts can be used.
fn announce(ready: Option<OwnedFd>) {
    if let Some(ready) = ready {
        // Whoever waited may have gone.
        let _ = fs::File::from(ready).write_all(b"\n");
    }
    if let Err(e) = platform::notify_ready() {
        warn!("the service manager cannot be told that we are ready: {e}");
    }
}

/// Raises the limit of open files as far as we may, and returns it: all users' open files are ours too.
fn raise_descriptor_limit() -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return RECENT };
    let highest = platform::highest_descriptor_limit().map_or(hard, |highest| highest.max(hard));
    // Beyond the hard limit only where we have the right.
    if setrlimit(Resource::RLIMIT_NOFILE, highest, highest).is_ok() {
        return usize::try_from(highest).unwrap_or(usize::MAX);
    }
    if let Err(e) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        warn!("the limit of open files stays as it is: {}", e.desc());
    }
    usize::try_from(hard).unwrap_or(usize::MAX)
}

/// What `limit` descriptors are for: some stay for homes, for files without a name, and for ourselves.
fn share_out(limit: usize) -> Descriptors {
    let recent = (limit / 4).min(RECENT);
    Descriptors { recent, open: limit - recent - limit / 8 }
}

impl Options {
    fn lifetimes(&self) -> Lifetimes {
        Lifetimes { name: self.entry_timeout, attributes: self.attr_timeout, absence: self.negative_timeout }
    }
}
