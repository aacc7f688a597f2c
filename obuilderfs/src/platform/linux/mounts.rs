//! What is mounted where.
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use fuser::{Config, Session};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::kernel::Kernel;
use crate::fuse::Requests;
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
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    flags.set(MsFlags::MS_RDONLY, options.read_only);
    flags.set(MsFlags::MS_NOEXEC, options.no_exec);
    flags.set(MsFlags::MS_NOATIME, options.no_atime);
    let source = options.fsname.as_ref().map_or(source, Path::new);
    mount(Some(source), mountpoint, Some(MOUNT_TYPE), flags, Some(data.as_str()))?;
    requests.connected(Kernel::new(&device)?);
    let acl = config.acl;
    Session::from_fd(requests, device.into(), acl, config).inspect_err(|_| {
        let _ = detach(mountpoint);
    })
}

/// A mount, as `/proc/self/mountinfo` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// The type, such as `fuse.obuilderfs`.
    pub(crate) kind: String,
    /// The source; for ours, the scoreboard.
    pub(crate) source: OsString,
}

/// The uppermost mount on `path` (canonical) in this mount namespace.
pub(crate) fn mounted_at(path: &Path) -> Option<Mounted> {
    let table = fs::read("/proc/self/mountinfo").ok()?;
    let mut lines = table.split(|&b| b == b'\n').rev().filter_map(parse);
    lines.find(|(at, _)| at == path).map(|(_, mounted)| mounted)
}

/// One line, `proc_pid_mountinfo(5)`: `ID PARENT DEV ROOT PATH OPTIONS TAG… - TYPE SOURCE SUPER`.
fn parse(line: &[u8]) -> Option<(PathBuf, Mounted)> {
    let mut fields = line.split(|&b| b == b' ');
    let path = unescape(fields.nth(4)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    Some((PathBuf::from(path), Mounted { kind, source: unescape(rest.next()?) }))
}

/// Blanks, newlines and backslashes are written as `\ooo`.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        if let Some(digits) = octal {
            out.push(digits.iter().fold(0u8, |value, d| value.wrapping_mul(8).wrapping_add(d - b'0')));
            rest = &tail[3..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    OsString::from_vec(out)
}

/// Takes the mount away from `path` at once; who still uses it keeps it until the last one is done.
///
/// # Errors
/// As `umount2(2)`.
pub(crate) fn detach(path: &Path) -> Result<(), nix::errno::Errno> {
    umount2(path, MntFlags::MNT_DETACH)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_mountinfo_line_gives_path_type_and_source() {
        let line =
            br"36 35 98:0 /root /mnt/with\040blank rw,noatime shared:1 - fuse.obuilderfs /run/x\134y rw";
        let (path, mounted) = parse(line).unwrap();
        assert_eq!(path, Path::new("/mnt/with blank"));
        assert_eq!(mounted.kind, "fuse.obuilderfs");
        assert_eq!(mounted.source, OsStr::from_bytes(br"/run/x\y"));
    }
}
