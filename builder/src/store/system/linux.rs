//! Linux: `/proc`, `syncfs`, btrfs, reflinks and overlayfs.
pub(in super::super) mod overlay;
mod reflink;
pub(in super::super) mod subvolume;

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

pub(in super::super) use reflink::shares_blocks;

/// A name for the time since the machine was started (random(4)).
pub(in super::super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Writes all that was changed so far on the file system of `file` to its device.
pub(in super::super) fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(nix::unistd::syncfs(file)?)
}

/// Whether layers in `dir` can be mounted. Tried in a directory that goes again.
pub(in super::super) fn can_overlay(dir: &Path) -> io::Result<bool> {
    Ok(overlay::probe(dir)?.is_none())
}

/// The mount namespace of the process that listens at `socket`, if this thread is in another.
pub(in super::super) fn namespace_of(socket: &Path) -> Option<PathBuf> {
    let stream = UnixStream::connect(socket).ok()?;
    let listener = getsockopt(&stream, PeerCredentials).ok()?.pid();
    let namespace = PathBuf::from(format!("/proc/{listener}/ns/mnt"));
    let theirs = fs::read_link(&namespace).ok()?;
    (fs::read_link(OWN_NAMESPACE).ok()? != theirs).then_some(namespace)
}

/// A name for this thread's mount namespace.
pub(in super::super) fn mount_namespace() -> String {
    let link = fs::read_link(OWN_NAMESPACE).unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

const OWN_NAMESPACE: &str = "/proc/thread-self/ns/mnt";

/// The processes that have something below `dir` open or are in it: `sh (12)`.
pub(in super::super) fn users_of(dir: &Path) -> Vec<String> {
    let below = |link: PathBuf| fs::read_link(link).is_ok_and(|path| path.starts_with(dir));
    let mut users = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()) {
        let pid = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut links = ["cwd", "root", "exe"].map(|name| process.join(name)).into_iter();
        if links.any(below) || open.map(|entry| entry.path()).any(below) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            users.push(format!("{} ({pid})", name.trim()));
        }
    }
    users
}
