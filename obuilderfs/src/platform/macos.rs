//! macOS: event-only descriptors, `/.vol` paths, per-thread ids. No passthrough, no mount namespaces.
#![allow(unsafe_code)]
mod directories;
mod enter;
mod guard;
mod identity;
mod kernel;
mod leases;
mod mounts;
mod objects;
mod xattrs;

pub(crate) use directories::DirStream;
pub(crate) use enter::{Entering, enter};
pub(crate) use guard::Guard;
pub(crate) use identity::{
    groups_of, highest_descriptor_limit, is_indexer, keep_little_memory, limit_capabilities, own_umask,
    release_memory, set_groups, set_ids, thread_id,
};
pub(crate) use kernel::{Change, Kernel, LinkWatch, Watch, wake_pipe};
pub(crate) use leases::{may_be_written, open_to_ask, undisturbed};
pub(crate) use mounts::{detach, mounted_at, notify_ready, remount, require_fuse, start, threads};
pub(crate) use objects::{
    ANCHOR, EXEC_OPEN, Handle, HandleKey, O_DIRECT, RENAME_EXCHANGE, chmod, chown, copy_range,
    create_nameless, fallocate, fdatasync, handle_at, handle_of, is_exec_open, link, mknod, open_handle,
    open_home, open_plain, readlink, rename, reopen, seek, set_times, stat, stat_at, truncate,
};
/// What everyone is told of the root: everybody may do everything, for who may do what there is decided by the
/// caller's own tree.
pub(crate) const ROOT_MODE: u32 = 0o777;
/// `wheel`.
pub(crate) const ROOT_GID: u32 = 0;

pub(crate) use xattrs::{get_xattr, list_xattrs, remove_xattr, set_xattr};
