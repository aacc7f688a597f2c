//! Linux: `/proc`, `syncfs`, btrfs, reflinks and overlayfs.
#![allow(unsafe_code)]
pub(in super::super) mod overlay;
pub(in super::super) mod subvolume;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;

/// A name for the time since the machine was started (random(4)).
pub(in super::super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Writes all that was changed so far on the file system of `file` to its device.
pub(in super::super) fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(nix::unistd::syncfs(file)?)
}

// FICLONE of ioctl_ficlone(2): _IOW(0x94, 9, int).
nix::ioctl_write_int_bad!(ficlone, nix::request_code_write!(0x94, 9, size_of::<libc::c_int>()));

/// Whether files in `dir` can share their blocks. Tried with two files that have no name.
pub(in super::super) fn shares_blocks(dir: &Path) -> io::Result<bool> {
    let mut nameless = OpenOptions::new();
    nameless.read(true).write(true).custom_flags(libc::O_TMPFILE);
    let opened = nameless.open(dir).and_then(|mut from| {
        from.write_all(b"shared")?;
        Ok((from, nameless.open(dir)?))
    });
    let (from, to) = match opened {
        Ok(files) => files,
        // O_TMPFILE is younger than what some file systems do.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(false),
        Err(error) => return Err(error),
    };
    // SAFETY: both descriptors are open for the whole call, and FICLONE reads no memory of ours.
    match unsafe { ficlone(to.as_raw_fd(), from.as_raw_fd()) } {
        Ok(_) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EINVAL | Errno::EXDEV) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether layers in `dir` can be mounted. Tried in a directory that goes again.
pub(in super::super) fn can_overlay(dir: &Path) -> io::Result<bool> {
    Ok(overlay::probe(dir)?.is_none())
}
