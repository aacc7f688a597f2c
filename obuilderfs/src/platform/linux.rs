//! Linux: `O_PATH` descriptors, file handles, per-thread file-system ids.
#![allow(unsafe_code)]
mod directories;
mod handles;
mod identity;
mod mounts;
mod objects;
mod xattrs;

pub(crate) use directories::DirStream;
pub(crate) use handles::{Handle, handle_of, open_handle};
pub(crate) use identity::{
    groups_of, is_indexer, limit_capabilities, own_umask, release_memory, set_groups, set_ids, thread_id,
};
pub(crate) use mounts::{detach, mounted_at, require_fuse, start, threads};
pub(crate) use objects::{
    ANCHOR, EXEC_OPEN, O_DIRECT, chmod, chown, copy_range, fallocate, link, mknod, open_plain, readlink,
    rename, reopen, seek, set_times, stat, stat_at, truncate,
};
pub(crate) use xattrs::{get_xattr, list_xattrs, remove_xattr, set_xattr};

pub(crate) use nix::unistd::fdatasync;
