//! What is mounted where.
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use fuser::{Config, Session};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::kernel::Kernel;
use crate::fuse::Requests;
use crate::mountinfo::{self, Mount};
use crate::options::Options;
use crate::session::{MOUNT_TYPE, MountError};

/// Where the kernel's FUSE driver is reached.
const FUSE: &str = "/dev/fuse";

/// # Errors
/// [`MountError::NoFuse`] if the kernel has no FUSE, with what to do.
pub(crate) fn require_fuse() -> Result<(), MountError> {
    if Path::new(FUSE).exists() {
        return Ok(());
    }
    let hint = "load the driver with 'modprobe fuse', or pass the device into the container";
    Err(MountError::NoFuse { path: FUSE.into(), hint })
}

/// How many threads answer requests.
pub(crate) fn threads(wanted: usize) -> usize {
    wanted
}

/// Mounts `requests` on `mountpoint`; the mount table shows `source`. The kernel checks permissions, by the
/// attributes it is given, before we do by acting as the caller.
///
/// # Errors
/// As `mount(2)`, and whatever the first exchange with the kernel may bring.
pub(crate) fn start(
    requests: Requests,
    mountpoint: &Path,
    source: &Path,
    options: &Options,
    config: Config,
) -> io::Result<Session<Requests>> {
    let device = fs::File::options().read(true).write(true).open(FUSE)?;
    let data = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
        device.as_raw_fd()
    );
    let source = options.fsname.as_ref().map_or(source, Path::new);
    mount(Some(source), mountpoint, Some(MOUNT_TYPE), flags(options), Some(data.as_str()))?;
    requests.connected(Kernel::new(&device, mountpoint)?);
    let acl = config.acl;
    Session::from_fd(requests, device.into(), acl, config).inspect_err(|_| {
        let _ = detach(mountpoint);
    })
}

fn flags(options: &Options) -> MsFlags {
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    flags.set(MsFlags::MS_RDONLY, options.read_only);
    flags.set(MsFlags::MS_NOEXEC, options.no_exec);
    flags.set(MsFlags::MS_NOATIME, options.no_atime);
    flags
}

/// Gives the mount on `path` other flags.
///
/// # Errors
/// As `mount(2)` with `MS_REMOUNT`.
pub(crate) fn remount(path: &Path, options: &Options) -> Result<(), nix::errno::Errno> {
    let none = None::<&str>;
    mount(none, path, none, MsFlags::MS_REMOUNT | flags(options), none)
}

/// The uppermost mount on `path` (canonical) in this mount namespace.
pub(crate) fn mounted_at(path: &Path) -> Option<Mount> {
    mountinfo::at(&fs::read("/proc/self/mountinfo").ok()?, path)
}

/// Takes the mount away from `path` at once, and gives every request that waits for an answer an error. Otherwise
/// a thread of ours that tells the kernel something may wait for the lock of a directory whose holder waits for
/// us; and a process with such a thread cannot end, which alone would release them both.
///
/// # Errors
/// As `umount2(2)`.
pub(crate) fn detach(path: &Path) -> Result<(), nix::errno::Errno> {
    umount2(path, MntFlags::MNT_DETACH | MntFlags::MNT_FORCE)
}
