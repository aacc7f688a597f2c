//! Linux: files that share their blocks (ioctl_ficlone(2)).
#![allow(unsafe_code)]
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;

// FICLONE of ioctl_ficlone(2): _IOW(0x94, 9, int).
nix::ioctl_write_int_bad!(ficlone, nix::request_code_write!(0x94, 9, size_of::<libc::c_int>()));

/// Whether files in `dir` can share their blocks. Tried with two files that have no name.
pub(in super::super::super) fn shares_blocks(dir: &Path) -> io::Result<bool> {
    let mut nameless = OpenOptions::new();
    nameless.read(true).write(true).custom_flags(libc::O_TMPFILE);
    let opened = nameless.open(dir).and_then(|mut from| {
        from.write_all(b"shared")?;
        Ok((from, nameless.open(dir)?))
    });
    let (from, to) = match opened {
        Ok(files) => files,
        // O_TMPFILE is younger than what some file systems do.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    // SAFETY: both descriptors are open for the whole call, and FICLONE reads no memory of ours.
    match unsafe { ficlone(to.as_raw_fd(), from.as_raw_fd()) } {
        Ok(_) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EINVAL | Errno::EXDEV) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
