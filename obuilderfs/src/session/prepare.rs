//! Checks everything that can be wrong before anything is mounted, and opens what the mounts will hide.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use tracing::warn;

use super::error::Silent;
use super::{MOUNT_TYPE, Mount, MountError};
use crate::answering::{self, Answer};
use crate::platform;
use crate::scoreboard::Scoreboard;
use crate::views::Views;

/// Everything a mount needs, checked and open.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) views: Views,
    /// Canonical.
    pub(super) mountpoint: PathBuf,
    /// The scoreboard, canonical: what the mount table shows as the source.
    pub(super) source: PathBuf,
}

/// # Errors
/// The first thing that is wrong, with what to do about it.
pub(super) fn prepare(mount: &Mount) -> Result<Vec<Prepared>, MountError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(MountError::NotRoot);
    }
    platform::require_fuse()?;
    let mountpoints: Vec<PathBuf> =
        mount.maps.iter().map(|map| check_mountpoint(&map.mountpoint)).collect::<Result<_, _>>()?;
    for (index, mountpoint) in mountpoints.iter().enumerate() {
        for other in &mountpoints[..index] {
            let (inner, outer) =
                if mountpoint.starts_with(other) { (mountpoint, other) } else { (other, mountpoint) };
            if inner.starts_with(outer) {
                return Err(MountError::Nested { inner: inner.clone(), outer: outer.clone() });
            }
        }
    }
    let maps = mount.maps.iter().zip(&mountpoints).enumerate();
    maps.map(|(index, (map, mountpoint))| {
        let scoreboard = Scoreboard::open(&mount.scoreboard)?;
        let source = scoreboard.path().to_owned();
        if source.starts_with(mountpoint) {
            let mountpoint = mountpoint.clone();
            return Err(MountError::ScoreboardInside { scoreboard: source, mountpoint });
        }
        let fallback = mount.fallback.as_ref().filter(|_| index == 0).unwrap_or(mountpoint);
        let unusable = |source| MountError::Directory { role: "fallback", path: fallback.clone(), source };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = open(fallback, flags, Mode::empty()).map_err(unusable)?;
        let shown = map.subdirectory.clone();
        let views = Views::new(scoreboard, shown, &mountpoints, (fallback, opened)).map_err(unusable)?;
        Ok(Prepared { views, mountpoint: mountpoint.clone(), source })
    })
    .collect()
}

/// The canonical mount point, a directory on which there is no mount of ours. One whose daemon has died is
/// cleared away: it serves nobody, and whoever starts us again wants it replaced.
fn check_mountpoint(given: &Path) -> Result<PathBuf, MountError> {
    let unusable = |source| MountError::Directory { role: "mount point", path: given.to_owned(), source };
    let path = canonical(given).map_err(|e| unusable(errno(&e)))?;
    while let Some(mounted) = platform::mounted_at(&path).filter(|mounted| mounted.kind == MOUNT_TYPE) {
        match answering::ask(&path).map_err(|e| unusable(errno(&e)))? {
            Answer::Given => {
                return Err(MountError::Mounted { mountpoint: path, scoreboard: mounted.source });
            }
            Answer::None => return Err(MountError::Silent(Silent(path))),
            Answer::Dead => {}
        }
        warn!(mountpoint = %path.display(), "clearing away a mount whose daemon has died");
        platform::detach(&path).map_err(unusable)?;
    }
    let meta = fs::metadata(&path).map_err(|e| unusable(errno(&e)))?;
    if meta.is_dir() { Ok(path) } else { Err(unusable(Errno::ENOTDIR)) }
}

/// The canonical path; a dead mount at its end is not asked.
fn canonical(given: &Path) -> io::Result<PathBuf> {
    match (given.canonicalize(), given.parent(), given.file_name()) {
        (Err(e), Some(parent), Some(name)) if e.raw_os_error() == Some(libc::ENOTCONN) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(parent.canonicalize()?.join(name))
        }
        (canonical, _, _) => canonical,
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
