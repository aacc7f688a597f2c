//! Between this crate's types and fuser's.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, FopenFlags, INodeNo, ReplyStatfs, TimeOrNow};
use nix::errno::Errno;
use nix::sys::statvfs::Statvfs;

use crate::backing::{S_IFMT, Stat, Time};
use crate::fs::TimeChange;

pub(super) fn errno(error: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(error as i32)
}

pub(super) fn attributes(stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(stat.ino),
        size: stat.size,
        blocks: stat.blocks,
        atime: system_time(stat.atime),
        mtime: system_time(stat.mtime),
        ctime: system_time(stat.ctime),
        crtime: system_time(stat.btime.unwrap_or_default()),
        kind: kind_of(stat.mode & S_IFMT),
        perm: (stat.mode & 0o7777) as u16,
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev,
        blksize: stat.blksize,
        flags: 0,
    }
}

/// A name that is not there: node id 0.
pub(super) fn absent() -> FileAttr {
    attributes(&Stat::default())
}

/// The type for type bits; a regular file where the file system below does not say.
#[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
pub(super) fn kind_of(kind: u32) -> FileType {
    match kind as libc::mode_t {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        libc::S_IFSOCK => FileType::Socket,
        _ => FileType::RegularFile,
    }
}

fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole =
        if time.seconds < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    whole
        .and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanoseconds.into())))
        .unwrap_or(UNIX_EPOCH)
}

pub(super) fn time_change(time: TimeOrNow) -> TimeChange {
    match time {
        TimeOrNow::Now => TimeChange::Now,
        TimeOrNow::SpecificTime(time) => TimeChange::To(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Time { seconds: after.as_secs().cast_signed(), nanoseconds: after.subsec_nanos() },
            Err(before) => {
                let before = before.duration();
                let borrow = i64::from(before.subsec_nanos() > 0);
                Time {
                    seconds: -before.as_secs().cast_signed() - borrow,
                    nanoseconds: (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000,
                }
            }
        }),
    }
}

/// How a file is opened whose bytes go through the daemon. Nobody changes a private view behind the kernel, so
/// there it keeps what it has read.
pub(super) fn cached_open(private: bool) -> FopenFlags {
    if private { FopenFlags::FOPEN_NOFLUSH | FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::FOPEN_NOFLUSH }
}

/// How a directory is opened; `keep` lets the kernel keep the listing.
pub(super) fn directory_open(keep: bool) -> FopenFlags {
    if keep { FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() }
}

#[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
pub(super) fn reply_statfs(reply: ReplyStatfs, stat: &Statvfs) {
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    reply.statfs(
        stat.blocks() as u64,
        stat.blocks_free() as u64,
        stat.blocks_available() as u64,
        stat.files() as u64,
        stat.files_free() as u64,
        small(stat.block_size() as u64),
        small(stat.name_max() as u64),
        small(stat.fragment_size() as u64),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_survive_both_ways() {
        for time in [(-1, 0), (-1, 5), (-2, 999_999_999), (0, 0), (0, 1), (1_700_000_000, 123_456_789)] {
            let time = Time { seconds: time.0, nanoseconds: time.1 };
            let TimeChange::To(back) = time_change(TimeOrNow::SpecificTime(system_time(time))) else {
                unreachable!()
            };
            assert_eq!(back, time);
        }
    }
}
