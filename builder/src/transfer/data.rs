//! The bytes of a file: copied by the kernel where it can, with holes left holes.
use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::stat::FileStat;
use nix::sys::uio::{pread, pwrite};

use super::{interrupt, system};

const BUFFER: usize = 128 * 1024;

/// Copies the bytes of `from`, which `stat` describes, into the empty file `to`.
pub(super) fn copy_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &FileStat) -> io::Result<()> {
    let size = stat.st_size.unsigned_abs();
    let allocated = stat.st_blocks.unsigned_abs() * 512;
    if allocated >= size {
        return copy_range(from, to, 0, size);
    }
    let mut offset = 0;
    while let Some((data, hole)) = system::next_data(from, offset)? {
        copy_range(from, to, data, hole.min(size).saturating_sub(data))?;
        offset = hole;
        if offset >= size {
            break;
        }
    }
    Ok(nix::unistd::ftruncate(to, stat.st_size)?)
}

fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let (mut offset, end) = (offset, offset + len);
    while offset < end {
        interrupt::check()?;
        match system::copy_in_kernel(from, to, offset, end - offset)? {
            Some(0) => return Ok(()),
            Some(copied) => offset += copied,
            None => return copy_through_memory(from, to, offset, end),
        }
    }
    Ok(())
}

fn copy_through_memory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, offset: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(end - offset).unwrap_or(BUFFER).min(BUFFER)];
    let mut offset = offset;
    while offset < end {
        interrupt::check()?;
        let want = usize::try_from(end - offset).unwrap_or(BUFFER).min(BUFFER);
        let at = i64::try_from(offset).map_err(io::Error::other)?;
        let got = pread(from, &mut buffer[..want], at)?;
        if got == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < got {
            let at = i64::try_from(offset).map_err(io::Error::other)?;
            let count = pwrite(to, &buffer[written..got], at)?;
            written += count;
            offset += count as u64;
        }
    }
    Ok(())
}
