//! The kernel's list of mounts (proc_pid_mountinfo(5)).
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// One mount of this process's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Where it is.
    pub mount_point: PathBuf,
    /// Its per-mount options, such as `rw,nosuid,nodev`.
    pub options: String,
    /// Type, with FUSE's subtype: `fuse.obuilderfs`.
    pub fs_type: String,
    /// What was mounted, as the file system names it.
    pub source: OsString,
}

/// All mounts, in the order they were made.
pub fn all() -> Vec<MountEntry> {
    let text = fs::read("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    text.split(|&b| b == b'\n').filter_map(parse).collect()
}

/// The mounts at or below `dir`.
pub fn below(dir: &Path) -> Vec<MountEntry> {
    all().into_iter().filter(|mount| mount.mount_point.starts_with(dir)).collect()
}

/// The obuilderfs mounts of the scoreboard `dir`, wherever they are.
pub fn of_scoreboard(dir: &Path) -> Vec<MountEntry> {
    all().into_iter().filter(|mount| mount.fs_type == "fuse.obuilderfs" && mount.source == dir).collect()
}

/// The topmost mount exactly at `path`.
pub fn at(path: &Path) -> Option<MountEntry> {
    all().into_iter().rfind(|mount| mount.mount_point == path)
}

/// Waits until `done` holds, looking again each time the list of mounts changes or `also` becomes readable.
///
/// Gives up and returns false after `limit`.
pub fn wait_until(also: Option<BorrowedFd<'_>>, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let watched = File::open("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    let deadline = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut fds = vec![PollFd::new(watched.as_fd(), PollFlags::POLLPRI)];
        fds.extend(also.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut fds, timeout);
    }
}

fn parse(line: &[u8]) -> Option<MountEntry> {
    let fields: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    Some(MountEntry {
        mount_point: PathBuf::from(unescape(fields.get(4)?)),
        options: String::from_utf8_lossy(fields.get(5)?).into_owned(),
        fs_type: String::from_utf8_lossy(fields.get(dash + 1)?).into_owned(),
        source: unescape(fields.get(dash + 2)?),
    })
}

/// Blank, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten();
        let byte = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_line_with_escapes_and_optional_fields_is_read() {
        let line =
            br"36 35 0:52 / /mnt/a\040b rw,nosuid shared:1 master:2 - fuse.obuilderfs /tmp/s\134b rw,x=1";
        let entry = parse(line).unwrap();
        assert_eq!(entry.mount_point.as_os_str().as_bytes(), b"/mnt/a b");
        assert_eq!(entry.options, "rw,nosuid");
        assert_eq!(entry.fs_type, "fuse.obuilderfs");
        assert_eq!(entry.source, OsString::from("/tmp/s\\b"));
    }
}
