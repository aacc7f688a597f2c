//! Files that are made without a name: `O_TMPFILE`, open(2).
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

/// Makes one of `mode` in `dir`, open for reading and writing.
///
/// # Errors
/// As open(2).
pub fn create(dir: &Path, mode: u32) -> io::Result<File> {
    create_with(dir, mode, 0)
}

/// As [`create`], with `flags` besides.
///
/// # Errors
/// As open(2).
pub fn create_with(dir: &Path, mode: u32, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).mode(mode).custom_flags(libc::O_TMPFILE | flags).open(dir)
}

/// Gives it the name `path`, as anybody may who has it open.
///
/// # Errors
/// As linkat(2).
pub fn link(file: &File, path: &Path) -> io::Result<()> {
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, from.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW).map_err(io::Error::from)
}
