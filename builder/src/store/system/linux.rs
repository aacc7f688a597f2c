//! Linux: `/proc`, `syncfs`, btrfs, reflinks and overlayfs.
pub(in super::super) mod overlay;
mod reflink;
pub(in super::super) mod subvolume;

use std::fs::File;
use std::io;
use std::path::Path;

pub(in super::super) use reflink::shares_blocks;

/// A name for the time since the machine was started (random(4)).
pub(in super::super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Writes all that was changed so far on the file system of `file` to its device.
pub(in super::super) fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(nix::unistd::syncfs(file)?)
}

/// Whether layers in `dir` can be mounted. Tried in a directory that goes again.
pub(in super::super) fn can_overlay(dir: &Path) -> io::Result<bool> {
    Ok(overlay::probe(dir)?.is_none())
}
