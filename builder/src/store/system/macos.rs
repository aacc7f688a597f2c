//! macOS: `sysctl`, `F_FULLFSYNC`.
#![allow(unsafe_code)]
pub(in super::super) mod overlay;
pub(in super::super) mod subvolume;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;

/// A name for the time since the machine was started.
pub(in super::super) fn boot_id() -> io::Result<String> {
    let mut buffer = [0_u8; 64];
    let mut len = buffer.len();
    // SAFETY: the name ends in NUL, and the buffer has the `len` bytes it is said to have.
    let result = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            buffer.as_mut_ptr().cast(),
            &raw mut len,
            null_mut(),
            0,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(String::from_utf8_lossy(&buffer[..len]).trim_end_matches('\0').to_owned())
}

/// Writes all that was changed so far to the devices. sync(2) only queues the writes; a full fsync(2) of a file,
/// which the standard library does there, waits for those before it.
pub(in super::super) fn sync_file_system(file: &File) -> io::Result<()> {
    nix::unistd::sync();
    file.sync_all()
}

/// Not looked for: stores of the kind rsync share what they can.
#[allow(clippy::unnecessary_wraps, reason = "fails on other systems")]
pub(in super::super) fn shares_blocks(_dir: &Path) -> io::Result<bool> {
    Ok(false)
}

/// There are no layers.
#[allow(clippy::unnecessary_wraps, reason = "fails on other systems")]
pub(in super::super) fn can_overlay(_dir: &Path) -> io::Result<bool> {
    Ok(false)
}

/// There is one for all.
pub(in super::super) fn namespace_of(_socket: &Path) -> Option<PathBuf> {
    None
}

/// There is one for all.
pub(in super::super) fn mount_namespace() -> String {
    "all".to_owned()
}

/// The processes that have something open on what is mounted at `dir` (lsof(8)): `sh (12)`.
pub(in super::super) fn users_of(dir: &Path) -> Vec<String> {
    let answer = Command::new("/usr/sbin/lsof").args(["-Fpc", "+f", "--"]).arg(dir).output();
    let Ok(answer) = answer else { return Vec::new() };
    let (mut users, mut pid) = (Vec::new(), String::new());
    for line in String::from_utf8_lossy(&answer.stdout).lines() {
        match line.split_at_checked(1) {
            Some(("p", number)) => pid = number.to_owned(),
            Some(("c", name)) => users.push(format!("{name} ({pid})")),
            _ => {}
        }
    }
    users
}
