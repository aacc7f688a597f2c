//! Mounting through macFUSE.
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fuser::{Config, MountOption, Session};
use nix::errno::Errno;
use nix::mount::{MntFlags, unmount};

use super::kernel::Kernel;
use crate::fuse::Requests;
use crate::mountinfo::Mount;
use crate::options::Options;
use crate::session::{MOUNT_TYPE, MountError};

const MACFUSE: &str = "/Library/Filesystems/macfuse.fs";

/// # Errors
/// [`MountError::NoFuse`] if macFUSE is not installed.
pub(crate) fn require_fuse() -> Result<(), MountError> {
    if Path::new(MACFUSE).exists() {
        return Ok(());
    }
    let hint = "install macFUSE and allow its system extension in System Settings, then restart";
    Err(MountError::NoFuse { path: MACFUSE.into(), hint })
}

/// fuser runs one thread here.
pub(crate) fn threads(_wanted: usize) -> usize {
    1
}

/// Mounts `requests` on `mountpoint`; the mount table shows `source`.
///
/// # Errors
/// As macFUSE reports them.
pub(crate) fn start(
    requests: Requests,
    mountpoint: &Path,
    source: &Path,
    options: &Options,
    mut config: Config,
) -> io::Result<Session<Requests>> {
    let name = options.fsname.clone().unwrap_or_else(|| source.to_string_lossy().into_owned());
    config.mount_options = vec![
        MountOption::FSName(name),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::CUSTOM("nobrowse".to_owned()),
        MountOption::CUSTOM("noappledouble".to_owned()),
    ];
    for (wanted, option) in [
        (options.read_only, MountOption::RO),
        (options.no_exec, MountOption::NoExec),
        (options.no_atime, MountOption::NoAtime),
    ] {
        if wanted {
            config.mount_options.push(option);
        }
    }
    requests.connected(Kernel);
    Session::new(requests, mountpoint, &config)
}

/// The mount on `path`, if `path` is a mount point.
pub(crate) fn mounted_at(path: &Path) -> Option<Mount> {
    let raw = raw_statfs(path)?;
    if text(&raw.f_mntonname).as_bytes() != path.as_os_str().as_bytes() {
        return None;
    }
    let kind = text(&raw.f_fstypename).to_string_lossy().into_owned();
    let kind = if kind.contains("fuse") { MOUNT_TYPE.to_owned() } else { kind };
    Some(Mount { point: path.to_owned(), kind, source: text(&raw.f_mntfromname).into() })
}

fn raw_statfs(path: &Path) -> Option<libc::statfs> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut raw = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `raw` is a whole `struct statfs`, for which all zeroes are valid; the path outlives the call.
    unsafe {
        Errno::result(libc::statfs(path.as_ptr(), raw.as_mut_ptr())).ok()?;
        Some(raw.assume_init())
    }
}

fn text(field: &[libc::c_char]) -> OsString {
    let bytes: Vec<u8> = field.iter().take_while(|&&c| c != 0).map(|c| c.cast_unsigned()).collect();
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

/// Takes the mount away from `path`.
///
/// # Errors
/// As `unmount(2)`.
pub(crate) fn detach(path: &Path) -> Result<(), Errno> {
    unmount(path, MntFlags::MNT_FORCE)
}

/// macFUSE changes nothing of a mount.
///
/// # Errors
/// `ENOTSUP`.
pub(crate) fn remount(_path: &Path, _options: &Options) -> Result<(), Errno> {
    Err(Errno::ENOTSUP)
}

/// launchd asks for no word of readiness.
///
/// # Errors
/// None.
pub(crate) fn notify_ready() -> io::Result<()> {
    Ok(())
}
