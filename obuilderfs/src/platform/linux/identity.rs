//! Whose rights this thread acts with. Linux keeps them per thread; the C library's wrappers would change all
//! threads, so these are the bare system calls.
use std::fs;

use nix::errno::Errno;

/// Makes this thread act on files as `uid` and `gid` (`setfsuid(2)`): leaving uid 0 drops the capabilities
/// that concern files, coming back restores them. Nobody gains the right to signal us.
///
/// # Errors
/// `EPERM` if the kernel did not take the ids.
pub(crate) fn set_ids(uid: u32, gid: u32) -> Result<(), Errno> {
    let uid = nix::unistd::Uid::from_raw(uid);
    let gid = nix::unistd::Gid::from_raw(gid);
    nix::unistd::setfsgid(gid);
    nix::unistd::setfsuid(uid);
    Ok(())
}

/// Sets this thread's supplementary groups.
///
/// # Errors
/// As `setgroups(2)`.
pub(crate) fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the pointer and the length describe one slice, which the kernel only reads.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    Errno::result(result).map(drop)
}

/// The supplementary groups of the task `pid`; none if it is gone or not in our process namespace.
pub(crate) fn groups_of(pid: u32) -> Vec<u32> {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return Vec::new() };
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    line.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// This thread's id, as the kernel names it in a request.
pub(crate) fn thread_id() -> u32 {
    nix::unistd::gettid().as_raw().unsigned_abs()
}

/// How many descriptors a process may have at the most (`/proc/sys/fs/nr_open`), if that is known.
pub(crate) fn highest_descriptor_limit() -> Option<u64> {
    fs::read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok()
}

/// Has large pieces of memory go back to the system as soon as they are freed. Otherwise the C library learns from the
/// first large one that is freed to keep those that follow, twice as much at the end of each thread's memory, and
/// [`release_memory`] does not get at that (`mallopt(3)`).
pub(crate) fn keep_little_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: plain values only.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 512 * 1024);
    }
}

/// Gives freed memory back to the system, which the C library would keep for itself.
pub(crate) fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: plain values only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Nobody here indexes volumes behind their users' backs.
pub(crate) fn is_indexer(_pid: u32) -> bool {
    false
}

/// Gives this thread a umask of its own (`unshare(CLONE_FS)`), so that it can take each caller's.
///
/// # Errors
/// As `unshare(2)`.
pub(crate) fn own_umask() -> Result<(), Errno> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)
}

/// The capabilities the daemon works with, by their numbers in `capabilities(7)`: those that concern files
/// (`CAP_CHOWN` to `CAP_FSETID`, `CAP_LINUX_IMMUTABLE`, `CAP_MKNOD`), to act as root for root; `CAP_SETGID` and
/// `CAP_SETUID` to switch; `CAP_SYS_ADMIN` for passthrough, `trusted.*` and unmounting; `CAP_SETFCAP`.
const NEEDED: [u32; 12] = [0, 1, 2, 3, 4, 6, 7, 9, 21, 27, 31, 32];

/// Gives up every capability the work does not need, `CAP_SYS_RESOURCE` above all: with it a caller would
/// write into the blocks that are kept for root, and past its quota.
///
/// # Errors
/// As `capset(2)`.
pub(crate) fn limit_capabilities() -> Result<(), Errno> {
    keep_capabilities(&NEEDED)
}

/// Gives up every capability.
///
/// # Errors
/// As `capset(2)`.
pub(super) fn drop_capabilities() -> Result<(), Errno> {
    keep_capabilities(&[])
}

fn keep_capabilities(kept: &[u32]) -> Result<(), Errno> {
    /// `_LINUX_CAPABILITY_VERSION_3` in `linux/capability.h`.
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut held = [[0u32; 3]; 2];
    // SAFETY: version 3 takes a header of two words and two blocks of three words.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), held.as_mut_ptr()) })?;
    let mut needed = [0u32; 2];
    for capability in kept {
        needed[*capability as usize / 32] |= 1 << (capability % 32);
    }
    for (block, needed) in held.iter_mut().zip(needed) {
        let [effective, permitted, inheritable] = block;
        *permitted &= needed;
        *effective = *permitted;
        *inheritable = 0;
    }
    // SAFETY: as above.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), held.as_ptr()) }).map(drop)
}
