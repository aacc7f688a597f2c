//! The calls that differ between Linux and macOS, under one name each.
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub(super) use linux::{
    boot_id, can_overlay, mount_namespace, namespace_of, overlay, shares_blocks, subvolume, sync_file_system,
    users_of,
};
#[cfg(target_os = "macos")]
pub(super) use macos::{
    boot_id, can_overlay, mount_namespace, namespace_of, overlay, shares_blocks, subvolume, sync_file_system,
    users_of,
};
