//! The processes of one user: listed through `/proc`, killed by a child that has become that user.
#![allow(unsafe_code)]
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::host::{HostError, Process};

/// How often a user's processes are killed before it is given up, and the pause in between.
const KILL_ROUNDS: u32 = 200;
const KILL_PAUSE: Duration = Duration::from_millis(10);

/// The processes whose real or effective uid is `uid`. Zombies are left out: they hold nothing and are
/// their parent's to wait for.
pub(super) fn of(uid: u32) -> Result<Vec<Process>, HostError> {
    let proc = Path::new("/proc");
    let error = |source| HostError::Io { what: "cannot list processes", path: proc.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).map_err(error)? {
        let entry = entry.map_err(error)?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The directory belongs to the effective uid, or to root for a process that may not be dumped: only
        // then is its status worth reading.
        let Ok(owner) = entry.metadata().map(|meta| meta.uid()) else { continue };
        if owner == uid || owner == 0 {
            found.extend(
                fs::read_to_string(entry.path().join("status")).ok().and_then(|s| process(pid, uid, &s)),
            );
        }
    }
    Ok(found)
}

/// The process described by `status` (proc_pid_status(5)) if it is `uid`'s and alive.
fn process(pid: i32, uid: u32, status: &str) -> Option<Process> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let wanted = uid.to_string();
    let is_his = field("Uid:")?.split_ascii_whitespace().take(2).any(|id| id == wanted);
    let is_dead = field("State:")?.starts_with(['Z', 'X']);
    (is_his && !is_dead).then(|| Process { pid, name: field("Name:").unwrap_or_default().to_owned() })
}

pub(super) fn kill_all(uid: u32) -> Result<Vec<Process>, HostError> {
    let mut killed = of(uid)?;
    let mut left = killed.clone();
    for _ in 0..KILL_ROUNDS {
        if left.is_empty() {
            return Ok(killed);
        }
        kill_as(uid)?;
        left = of(uid)?;
        killed.extend(left.iter().filter(|p| !killed.contains(p)).cloned().collect::<Vec<_>>());
        if !left.is_empty() {
            std::thread::sleep(KILL_PAUSE);
        }
    }
    Err(HostError::WillNotDie { uid, left })
}

/// Sends SIGKILL to all that `uid` may signal, in one system call that no fork can outrun. Having become
/// `uid`, the child cannot hit anybody else.
fn kill_as(uid: u32) -> Result<(), HostError> {
    let mut command = Command::new("/bin/true");
    command.uid(uid).gid(NOBODYS_GROUP).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: the closure runs in the child after its uid was set and makes one async-signal-safe call; it
    // touches no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            libc::kill(-1, libc::SIGKILL);
            Ok(())
        });
    }
    // The child may itself fall to a process of the user: only its start can fail.
    let error = |source| HostError::Start { command: format!("kill -9 -1 as uid {uid}"), source };
    command.status().map(drop).map_err(error)
}

/// The group of the child that kills: any but a privileged one.
const NOBODYS_GROUP: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t705\t706\t707\t708\n";

    #[test]
    fn a_process_is_his_whose_real_or_effective_uid_it_has() {
        let sleep = Process { pid: 9, name: "sleep".into() };
        assert_eq!(process(9, 705, STATUS), Some(sleep.clone()));
        assert_eq!(process(9, 706, STATUS), Some(sleep));
        assert_eq!(process(9, 707, STATUS), None);
        assert_eq!(process(9, 70, STATUS), None);
        assert_eq!(process(9, 705, &STATUS.replace("S (sleeping)", "Z (zombie)")), None);
    }

    #[test]
    fn own_processes_are_listed() {
        let us = nix::unistd::geteuid().as_raw();
        let me = std::process::id() as i32;
        assert!(of(us).unwrap().iter().any(|p| p.pid == me));
    }
}
