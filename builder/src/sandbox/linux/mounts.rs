//! What a step sees: its home and prefix, a `/tmp`, `/var/tmp` and `/dev/shm` of its own, its own `/proc`.
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use super::secrets::{Bound, Secrets, as_user};
use super::supervisor::not_started;
use crate::sandbox::paths::LOCAL;
use crate::sandbox::plan::{Plan, Report};

/// Makes all mounts in the calling process's mount namespace, which must be its own.
///
/// Everything that is to be bound is opened before anything is covered, so that the store, the home or the
/// prefix may themselves lie below `/tmp`.
pub(super) fn build(plan: &Plan) -> Result<Bound, Report> {
    let slave = mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>);
    slave.map_err(|e| not_started("shut the step's mounts in", e))?;
    let home = directory(&plan.home_source)?;
    let local = plan.prefix.as_ref().map(|_| local_of(&home, &plan.home_source)).transpose()?;
    let tmp = directory(&plan.scratch.join("tmp"))?;
    let var_tmp = directory(&plan.scratch.join("var-tmp"))?;
    let caches = plan.caches.iter().map(|(source, _)| directory(source)).collect::<Result<Vec<_>, _>>()?;
    let secrets = Secrets::write(plan)?;

    bind_if_there(&tmp, Path::new("/tmp"))?;
    bind_if_there(&var_tmp, Path::new("/var/tmp"))?;
    shared_memory()?;
    bind_at(&home, &plan.home)?;
    if let (Some(local), Some(prefix)) = (&local, &plan.prefix) {
        bind_at(local, prefix)?;
    }
    for (cache, (_, target)) in caches.iter().zip(&plan.caches) {
        bind_cache(cache, target, plan)?;
    }
    let bound = secrets.bind(plan)?;
    processes()?;
    Ok(bound)
}

fn directory(path: &Path) -> Result<OwnedFd, Report> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|e| not_started(format!("open {}", path.display()), e.desc()))
}

/// A link in its place would lead anywhere.
fn local_of(home: &OwnedFd, source: &Path) -> Result<OwnedFd, Report> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(home, LOCAL, flags, Mode::empty())
        .map_err(|e| not_started(format!("open {}", source.join(LOCAL).display()), e.desc()))
}

/// The path by which mount(2) finds what a descriptor stands for, wherever that is and whatever covers it.
pub(super) fn path_of(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// Binds what `source` stands for over `target`.
pub(super) fn bind(source: &OwnedFd, target: &Path) -> Result<(), Report> {
    mount(Some(&path_of(source)), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(|e| not_started(format!("bind over {}", target.display()), e.desc()))
}

fn bind_if_there(source: &OwnedFd, target: &Path) -> Result<(), Report> {
    if target.is_dir() { bind(source, target) } else { Ok(()) }
}

/// The mount point is there already, unless the step's own `/tmp` has just covered it.
fn bind_at(source: &OwnedFd, target: &Path) -> Result<(), Report> {
    fs::create_dir_all(target).map_err(|e| not_started(format!("make {}", target.display()), e))?;
    bind(source, target)
}

/// The mount point is made by the user, who may not make it everywhere, and stays.
fn bind_cache(cache: &OwnedFd, target: &Path, plan: &Plan) -> Result<(), Report> {
    let made = as_user(plan, || fs::create_dir_all(target));
    let target = &made
        .and_then(|()| inside(target, plan))
        .map_err(|e| not_started(format!("show a cache at {}", target.display()), e))?;
    bind(cache, target)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
        .map_err(|e| not_started(format!("shut in the cache at {}", target.display()), e.desc()))
}

/// Where `target` leads to. Links on the way are the user's, and a cache, which holds what the user likes, must
/// not cover what root goes by: with one over `/proc`, [`path_of`] would lead wherever the user wants.
fn inside(target: &Path, plan: &Plan) -> io::Result<PathBuf> {
    let target = target.canonicalize()?;
    for root in std::iter::once(&plan.home).chain(&plan.prefix) {
        if target.starts_with(root.canonicalize()?) {
            return Ok(target);
        }
    }
    Err(io::Error::other("a link leads out of the home and the prefix there"))
}

fn shared_memory() -> Result<(), Report> {
    let target = Path::new("/dev/shm");
    if !target.is_dir() {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some("mode=1777"))
        .map_err(|e| not_started("mount /dev/shm", e.desc()))
}

fn processes() -> Result<(), Report> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(|e| not_started("mount /proc", e.desc()))
}
