//! Build users that no other test has, of this checkout or of another one on the same machine.
//!
//! A builder kills every process of its uid and keeps one account for it, so two tests must never share one.
//! A uid is reserved by a lock on the byte of that number in one file: the kernel lets go of it however the
//! test ends.
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Locked bytes, none of them ever written.
const LOCKS: &str = "/run/obuilder-test-uids";

/// Uids that nothing else uses; those of the other tests are fixed and lie elsewhere.
const RANGE: std::ops::Range<u32> = 50_000..51_000;

/// A build user's uid, reserved. When dropped, the account that a builder made for it is removed.
#[derive(Debug)]
pub struct BuildUser {
    /// The uid.
    pub uid: u32,
    existed: bool,
    _lock: File,
}

impl BuildUser {
    /// A free one.
    pub fn new() -> Self {
        let lock = locks();
        let uid = RANGE.clone().find(|uid| reserve(&lock, *uid, Wait::No)).expect("a free uid for the test");
        // An account is there already if a test was killed before it could remove it.
        Self { uid, existed: false, _lock: lock }
    }

    /// The one that `uid` names, waited for; an account that was there before is left alone.
    pub fn exactly(uid: u32) -> Self {
        let lock = locks();
        assert!(reserve(&lock, uid, Wait::Yes), "uid {uid} cannot be reserved");
        let existed = Command::new("id").arg(uid.to_string()).output().expect("id").status.success();
        Self { uid, existed, _lock: lock }
    }

    /// The account's name.
    pub fn name(&self) -> String {
        format!("obuilder{}", self.uid)
    }
}

impl Default for BuildUser {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for BuildUser {
    fn drop(&mut self) {
        if !self.existed {
            // Under the lock that builders make accounts under: none must lose the group it has just found. A
            // group that still has users stays.
            let both = format!("userdel {}; groupdel obuilder", self.name());
            let _ = Command::new("flock").args(["/run/obuilder-locks/accounts", "sh", "-c", &both]).output();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

fn locks() -> File {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(LOCKS);
    file.unwrap_or_else(|e| panic!("{LOCKS}: {e}"))
}

/// Locks the byte `uid`; false when somebody else has it. The lock belongs to the open file, not to the process
/// (`F_OFD_SETLK`), so that two tests in one process do not share it either.
fn reserve(file: &File, uid: u32, wait: Wait) -> bool {
    let range = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: uid.into(),
        l_len: 1,
        l_pid: 0,
    };
    let command =
        if wait == Wait::Yes { FcntlArg::F_OFD_SETLKW(&range) } else { FcntlArg::F_OFD_SETLK(&range) };
    match fcntl(file.as_fd(), command) {
        Ok(_) => true,
        Err(Errno::EAGAIN | Errno::EACCES) => false,
        Err(e) => panic!("{LOCKS}: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Need, require};

    #[test]
    fn no_two_have_the_same_uid_while_both_live() {
        if !require(&[Need::Root]) {
            return;
        }
        let users: Vec<BuildUser> = (0..8).map(|_| BuildUser::new()).collect();
        let mut uids: Vec<u32> = users.iter().map(|user| user.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        assert_eq!(uids.len(), users.len());
        // Taken through another open of the same file, as another process would.
        assert!(!reserve(&locks(), users[0].uid, Wait::No));
    }
}
