//! Linux: `O_PATH` descriptors, file handles, per-thread file-system ids.
#![allow(unsafe_code)]
mod changes;
mod connection;
mod directories;
mod enter;
mod guard;
mod handles;
mod homes;
mod identity;
mod kernel;
mod leases;
mod links;
mod mounts;
mod objects;
mod readiness;
mod xattrs;

pub(crate) use changes::{Change, Watch};
pub(crate) use directories::DirStream;
pub(crate) use enter::{Entering, enter};
pub(crate) use guard::Guard;
pub(crate) use handles::{Handle, HandleKey, handle_at, handle_of, open_handle};
pub(crate) use homes::open_home;
pub(crate) use identity::{
    groups_of, highest_descriptor_limit, is_indexer, keep_little_memory, limit_capabilities, own_umask,
    release_memory, set_groups, set_ids, thread_id,
};
pub(crate) use kernel::{Kernel, wake_pipe};
pub(crate) use leases::{may_be_written, open_to_ask, undisturbed};
pub(crate) use links::LinkWatch;
pub(crate) use mounts::{detach, mounted_at, remount, require_fuse, start, threads};
pub(crate) use objects::{
    ANCHOR, EXEC_OPEN, O_DIRECT, RENAME_EXCHANGE, chmod, chown, copy_range, create_nameless, fallocate,
    is_exec_open, link, mknod, open_plain, readlink, rename, reopen, seek, set_times, stat, stat_at,
    truncate,
};
pub(crate) use readiness::notify_ready;
pub(crate) use xattrs::{get_xattr, list_xattrs, remove_xattr, set_xattr};

pub(crate) use nix::unistd::fdatasync;

/// What everyone is told of the root: everybody may do everything, for who may do what there is decided by the
/// caller's own tree. A directory with rights for its group would be asked for its ACL at each path that goes
/// through it: the kernel makes the root before it learns that the mount has ACLs, and never keeps the root's
/// (`ACL_DONT_CACHE` in `fs/fuse/inode.c`).
pub(crate) const ROOT_MODE: u32 = 0o707;
/// A group that nobody is in, and so nobody is denied by its lack of rights.
pub(crate) const ROOT_GID: u32 = u32::MAX - 1;
