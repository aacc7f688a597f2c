//! Whose rights this thread acts with.
use std::ffi::CStr;

use nix::errno::Errno;

/// `KAUTH_UID_NONE` and `KAUTH_GID_NONE` (`sys/kauth.h`): back to the process's own ids.
const NONE: u32 = u32::MAX - 100;

unsafe extern "C" {
    /// `sys/unistd.h`: ids of the calling thread alone.
    fn pthread_setugid_np(uid: libc::uid_t, gid: libc::gid_t) -> libc::c_int;
}

/// Makes this thread act as `uid` and `gid`, with that group alone.
///
/// # Errors
/// As `pthread_setugid_np`.
pub(crate) fn set_ids(uid: u32, gid: u32) -> Result<(), Errno> {
    // A thread has to be itself again before it takes other ids, and is allowed to fail if it is itself.
    // SAFETY: plain values only.
    unsafe { pthread_setugid_np(NONE, NONE) };
    if uid == 0 {
        return Ok(());
    }
    // SAFETY: plain values only.
    Errno::result(unsafe { pthread_setugid_np(uid, gid) }).map(drop)
}

/// Per-thread supplementary groups do not exist here.
///
/// # Errors
/// None.
pub(crate) fn set_groups(_groups: &[u32]) -> Result<(), Errno> {
    Ok(())
}

/// None: a thread acts with one group.
pub(crate) fn groups_of(_pid: u32) -> Vec<u32> {
    Vec::new()
}

/// How requests name us: by process here.
pub(crate) fn thread_id() -> u32 {
    std::process::id()
}

/// One thread answers all requests, so the process's umask is its own.
///
/// # Errors
/// None.
pub(crate) fn own_umask() -> Result<(), Errno> {
    Ok(())
}

/// There are no capabilities to give up.
///
/// # Errors
/// None.
pub(crate) fn limit_capabilities() -> Result<(), Errno> {
    Ok(())
}

/// Whether `pid` is a service that watches or indexes volumes: served, it would mark the mount as bad.
pub(crate) fn is_indexer(pid: u32) -> bool {
    let mut name = [0u8; 64];
    let Ok(pid) = libc::c_int::try_from(pid) else { return false };
    // SAFETY: pointer and length describe the buffer.
    let length = unsafe { libc::proc_name(pid, name.as_mut_ptr().cast(), name.len() as u32) };
    if length <= 0 {
        return false;
    }
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default().to_bytes();
    matches!(name, b"fseventsd" | b"mds" | b"mds_stores" | b"mdworker" | b"mdworker_shared")
}

/// How many descriptors a process may have at the most, if that is known.
pub(crate) fn highest_descriptor_limit() -> Option<u64> {
    None
}

/// The system's allocator does so by itself.
pub(crate) fn keep_little_memory() {}

/// The system's allocator does so by itself.
pub(crate) fn release_memory() {}
