//! Whether two files are the same, as far as a clone has to keep them so.
use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::stat::FileStat;
use nix::sys::uio::pread;

use super::clone::attributes;

const BUFFER: usize = 64 * 1024;

/// Whether both are of one kind, owner, mode, time of change, set of extended attributes and, if they are files, size.
pub(super) fn same_metadata(
    one: BorrowedFd<'_>,
    stat: &FileStat,
    other: BorrowedFd<'_>,
    other_stat: &FileStat,
) -> io::Result<bool> {
    let facts = |stat: &FileStat| {
        let size = if stat.st_mode & libc::S_IFMT == libc::S_IFREG { stat.st_size } else { 0 };
        (stat.st_mode, stat.st_uid, stat.st_gid, size, stat.st_mtime, stat.st_mtime_nsec)
    };
    Ok(facts(stat) == facts(other_stat) && attributes(one)? == attributes(other)?)
}

/// Whether two files of the size that `stat` tells hold the same bytes.
pub(super) fn same_bytes(one: BorrowedFd<'_>, other: BorrowedFd<'_>, stat: &FileStat) -> io::Result<bool> {
    let size = stat.st_size.unsigned_abs();
    let length = usize::try_from(size).unwrap_or(BUFFER).min(BUFFER);
    let mut buffers = [vec![0; length], vec![0; length]];
    let mut offset = 0;
    while offset < size {
        let [left, right] = &mut buffers;
        let (got, got_other) = (fill(one, left, offset)?, fill(other, right, offset)?);
        if got != got_other || got == 0 || left[..got] != right[..got] {
            return Ok(false);
        }
        offset += got as u64;
    }
    Ok(true)
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let at = i64::try_from(offset + filled as u64).map_err(io::Error::other)?;
        match pread(file, &mut buffer[filled..], at)? {
            0 => break,
            got => filled += got,
        }
    }
    Ok(filled)
}
