//! Code run with another user's rights.
//!
//! On Linux credentials belong to a thread, and a file system sees those of the thread that calls it. So a
//! thread that has dropped to a user is that user to the file system, in the midst of the test; what it
//! starts runs as that user too. Its working directory and umask are its own. It keeps the way back to root, as
//! its saved uid, for [`outside`]; a program it starts does not.
#![allow(unsafe_code)]
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::panic;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// A user by number; no account need exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl User {
    /// User `uid` in the group of the same number.
    pub fn new(uid: u32) -> Self {
        Self { uid, gid: uid, groups: Vec::new() }
    }

    /// The same user, in `groups` too.
    #[must_use]
    pub fn with_groups(mut self, groups: &[u32]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    /// Runs `code` as this user, with umask 022, and returns what it gives. A panic in it is the caller's.
    pub fn run<T: Send>(&self, code: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FS).expect("own working directory and umask");
                nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
                self.become_thread().unwrap_or_else(|e| panic!("become user {}: {e}", self.uid));
                code()
            });
            worker.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        })
    }

    /// Runs `script` with `sh -c` as this user; its arguments are `$1`, `$2`, ….
    pub fn sh<S: AsRef<OsStr> + Sync>(&self, script: &str, args: &[S]) -> std::process::Output {
        self.run(|| crate::process::output(Command::new("sh").arg("-ec").arg(script).arg("sh").args(args)))
    }

    /// Makes `path` a directory of this user's, mode 0755.
    pub fn mkdir(&self, path: &Path) {
        fs::create_dir_all(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("mode");
        chown(path, Some(self.uid), Some(self.gid)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Drops this thread, and no other, to the user: the C library's functions would change the whole process.
    fn become_thread(&self) -> io::Result<()> {
        // Within another user's code this is the way back; elsewhere it changes nothing.
        let _ = set_effective_uid(0);
        // SAFETY: the pointer and length are those of a live slice, which the call only reads.
        check(unsafe { libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) })?;
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_setresgid, self.gid, self.gid, self.gid) })?;
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_setresuid, self.uid, self.uid, 0) })
    }
}

/// Runs `code` as root in the midst of a user's, and goes back to the user.
pub fn outside<T>(code: impl FnOnce() -> T) -> T {
    let user = nix::unistd::geteuid().as_raw();
    set_effective_uid(0).expect("become root again");
    let result = code();
    set_effective_uid(user).expect("become the user again");
    result
}

fn set_effective_uid(uid: u32) -> io::Result<()> {
    // SAFETY: integers only; -1 leaves an id as it is.
    check(unsafe { libc::syscall(libc::SYS_setresuid, -1, uid, -1) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Need, Scratch, require};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn code_runs_as_the_user_and_the_test_stays_who_it_was() {
        if !require(&[Need::Root]) {
            return;
        }
        let scratch = Scratch::new();
        let user = User::new(41_999).with_groups(&[41_888]);
        user.mkdir(&scratch.path().join("his"));
        let file = scratch.path().join("his/file");
        user.run(|| fs::write(&file, "x")).unwrap();
        let meta = fs::metadata(&file).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (41_999, 41_999, 0o644));
        let denied = user.run(|| fs::write(scratch.path().join("not-his"), "x")).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        let said = user.sh("id -u; id -G", &[] as &[&str]);
        assert_eq!(String::from_utf8(said.stdout).unwrap(), "41999\n41999 41888\n");
        assert!(nix::unistd::geteuid().is_root());
        let inner = user.run(|| {
            outside(|| fs::write(scratch.path().join("roots"), "x")).unwrap();
            let nested = User::new(41_998).run(|| nix::unistd::geteuid().as_raw());
            (nested, nix::unistd::geteuid().as_raw())
        });
        assert_eq!(inner, (41_998, 41_999));
    }
}
