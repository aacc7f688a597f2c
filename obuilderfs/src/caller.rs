//! Acting as the caller. The daemon is root and lends nobody that power: whatever creates, opens or changes
//! something runs with the ids of the process that asked.
//!
//! Ids belong to a thread. They are switched only when they differ from what the thread has, so a run of
//! requests by one user costs one switch. Supplementary groups are asked for only when they can matter: they
//! take a read of `/proc/PID/status`.
use std::cell::RefCell;

use nix::errno::Errno;

use crate::platform;

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The caller's file-system uid.
    pub(crate) uid: u32,
    /// The caller's file-system gid.
    pub(crate) gid: u32,
    /// The task's id in our process namespace, 0 if it is in none we see.
    pub(crate) pid: u32,
}

/// What a thread acts as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

thread_local! {
    /// Threads start as the daemon itself, without supplementary groups: see [`forget_own_groups`].
    static CURRENT: RefCell<Identity> = RefCell::default();
    static UMASK: RefCell<Option<u32>> = const { RefCell::new(None) };
}

/// Drops the daemon's own supplementary groups. Called once, before any thread is started.
///
/// # Errors
/// As `setgroups(2)`.
pub(crate) fn forget_own_groups() -> Result<(), Errno> {
    platform::set_groups(&[])
}

/// Runs `action` with the daemon's own rights, to find things.
pub(crate) fn as_daemon<T>(action: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    become_identity(0, 0, &[])?;
    action()
}

/// Runs `action` once with these ids and no supplementary groups.
pub(crate) fn with_ids<T>(uid: u32, gid: u32, action: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    become_identity(uid, gid, &[])?;
    action()
}

/// Runs `action` as `uid` with the caller's gid, and again with the caller's supplementary groups if it was
/// refused without them.
///
/// `uid` is the caller's own, or the owner it stands for in its view.
pub(crate) fn act_as<T>(
    caller: &Caller,
    uid: u32,
    mut action: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    become_identity(uid, caller.gid, &[])?;
    match action() {
        Err(refused @ (Errno::EACCES | Errno::EPERM)) if uid != 0 => {
            let groups = platform::groups_of(caller.pid);
            if groups.iter().all(|group| *group == caller.gid) {
                return Err(refused);
            }
            become_identity(uid, caller.gid, &groups)?;
            action()
        }
        result => result,
    }
}

/// As [`act_as`], with the supplementary groups from the start: for set-group-id bits, which the kernel drops
/// without a word when the group is not the caller's.
pub(crate) fn act_with_groups<T>(
    caller: &Caller,
    uid: u32,
    action: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let groups = if uid == 0 { Vec::new() } else { platform::groups_of(caller.pid) };
    become_identity(uid, caller.gid, &groups)?;
    action()
}

/// Whether the caller is in `group`.
pub(crate) fn is_in_group(caller: &Caller, group: u32) -> bool {
    caller.gid == group || platform::groups_of(caller.pid).contains(&group)
}

/// Takes the caller's umask, for what is created next on this thread. The file system below applies it, or
/// the default ACL of the directory instead, as it would for the caller itself.
///
/// # Errors
/// The thread could not get a umask of its own.
pub(crate) fn take_umask(umask: u32) -> Result<(), Errno> {
    UMASK.with_borrow_mut(|current| {
        if current.is_none() {
            platform::own_umask()?;
        }
        if *current != Some(umask) {
            #[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask as libc::mode_t));
            *current = Some(umask);
        }
        Ok(())
    })
}

fn become_identity(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Errno> {
    CURRENT.with_borrow_mut(|current| {
        if current.groups != groups {
            platform::set_groups(groups)?;
            groups.clone_into(&mut current.groups);
        }
        if (current.uid, current.gid) != (uid, gid) {
            platform::set_ids(uid, gid)?;
            (current.uid, current.gid) = (uid, gid);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_thread_acts_as_the_caller_and_only_that_thread() {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "needs root");
            eprintln!("skipped: a_thread_acts_as_the_caller_and_only_that_thread needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::chown(dir.path(), Some(61_000.into()), None).unwrap();
        let path = dir.path().join("made");
        let caller = Caller { uid: 61_000, gid: 61_001, pid: std::process::id() };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                act_as(&caller, 61_000, || std::fs::write(&path, "x").map_err(|_| Errno::EIO)).unwrap();
            });
        });
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (61_000, 61_001));
        std::fs::write(dir.path().join("ours"), "x").unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("ours")).unwrap().uid(), 0);
    }

    #[test]
    fn a_caller_cannot_do_what_only_root_may() {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "needs root");
            eprintln!("skipped: a_caller_cannot_do_what_only_root_may needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root's");
        std::fs::write(&path, "x").unwrap();
        let caller = Caller { uid: 61_000, gid: 61_001, pid: std::process::id() };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let chown = || nix::unistd::chown(&path, Some(61_000.into()), None);
                assert_eq!(act_as(&caller, 61_000, chown), Err(Errno::EPERM));
            });
        });
    }
}
