//! Why a mount could not be made, or failed.
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::scoreboard::ScoreboardError;

/// The daemon of the mount there does not answer.
#[derive(Debug, thiserror::Error)]
#[error(
    "the obuilderfs on {} does not answer; if its process was stopped, let it go on with kill -CONT, or else \
     give up on it: umount -f {}",
    .0.display(),
    .0.display()
)]
pub struct Silent(pub PathBuf);

/// Why a mount could not be made or failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Not root.
    #[error("must run as root: it serves each user with that user's rights; use sudo")]
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
    /// There is nothing to change.
    #[error("{}: no obuilderfs is mounted there, so there is nothing to remount", mountpoint.display())]
    NotMounted {
        /// Where one was expected.
        mountpoint: PathBuf,
    },
    /// `mount(2)` answers `EBUSY` to a remount in this case only.
    #[error(
        "{} cannot be made read-only now: a file there is open for writing, or removed and still open; \
         fuser -vm {} shows whose",
        mountpoint.display(),
        mountpoint.display()
    )]
    Written {
        /// The mount point.
        mountpoint: PathBuf,
    },
    /// The system refuses another change.
    #[error("{} cannot be remounted: {}", mountpoint.display(), source.desc())]
    Unchanged {
        /// The mount point.
        mountpoint: PathBuf,
        /// The system's answer.
        source: Errno,
    },
    /// There is a mount of ours already, and it is stuck.
    #[error(transparent)]
    Silent(#[from] Silent),
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
    /// A thread could not be started, or broke.
    #[error("a thread failed: {source}")]
    Thread {
        /// What happened.
        source: io::Error,
    },
    /// One mount point lies under another, which would hide it.
    #[error(
        "mount point {} lies under the mount point {}; choose places side by side",
        inner.display(),
        outer.display()
    )]
    Nested {
        /// The one that would be hidden.
        inner: PathBuf,
        /// The one that would hide it.
        outer: PathBuf,
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
