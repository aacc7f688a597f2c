//! Hard links: further names of a file that is in the clone already.
use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::linkat;
use parking_lot::{Mutex, MutexGuard};

use super::super::TransferError;
use super::super::descent::{DIRECTORY, lstat};
use super::Cloning;

/// Longest path given to one call: `PATH_MAX` of every system we know is more.
const LONGEST_PATH: usize = 1000;

/// Device and inode.
pub(super) type Key = (libc::dev_t, libc::ino_t);

/// Paths in the clone, by what they are clones of.
type Names = HashMap<Key, Vec<u8>>;

/// The first name in the clone of each file with several names, spread over several maps: whoever makes such a
/// file has its map for himself meanwhile.
#[derive(Default)]
pub(super) struct Links {
    first: [[Mutex<Names>; 8]; 8],
    /// Which original each file with several names became that was in the clone's place already.
    taken: Mutex<HashMap<Key, Key>>,
}

impl Links {
    fn first(&self, key: Key) -> MutexGuard<'_, Names> {
        // Neighbours have neighbouring numbers, so the lowest bits spread them.
        let [high, low] = [key.1 >> 3 & 7, key.1 & 7].map(|bits| usize::try_from(bits).unwrap_or_default());
        self.first[high][low].lock()
    }

    /// Whether `there` may stand for `original`: no other does.
    pub(super) fn take(&self, there: &FileStat, original: &FileStat) -> bool {
        there.st_nlink <= 1 || *self.taken.lock().entry(key(there)).or_insert(key(original)) == key(original)
    }
}

impl Cloning<'_> {
    /// Lets `make` make `name`, a clone of what `stat` describes, unless that is in the clone already: then
    /// `name` becomes a further name of it.
    pub(super) fn once(
        &mut self,
        name: &CStr,
        stat: &FileStat,
        make: impl FnOnce(&mut Self) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        if stat.st_nlink <= 1 {
            return make(self);
        }
        let whole = self.whole;
        let mut names = whole.links.first(key(stat));
        if let Some(first) = names.get(&key(stat)) {
            return self.link(first, name).map_err(|e| self.unwritten(name, e));
        }
        make(self)?;
        let parent_len = self.path.len();
        self.push_name(name);
        names.insert(key(stat), self.path.clone());
        self.path.truncate(parent_len);
        Ok(())
    }

    fn link(&self, first: &[u8], name: &CStr) -> io::Result<()> {
        let root = self.whole.root.as_fd();
        let (above, rest) = open_above(root, first)?;
        let above = above.as_ref().map_or(root, AsFd::as_fd);
        let here = self.target.here();
        match linkat(above, os(rest), here, name, AtFlags::empty()) {
            Err(Errno::EEXIST) if self.whole.onto => {
                let there = lstat(here, name)?;
                let first = nix::sys::stat::fstatat(above, os(rest), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                if key(&there) == key(&first) {
                    return Ok(());
                }
                self.clear(name).map_err(io::Error::other)?;
                Ok(linkat(above, os(rest), here, name, AtFlags::empty())?)
            }
            linked => Ok(linked?),
        }
    }
}

pub(super) fn key(stat: &FileStat) -> Key {
    (stat.st_dev, stat.st_ino)
}

/// Opens as much of `path` as makes the rest short enough for one call.
fn open_above<'a>(root: BorrowedFd<'_>, path: &'a [u8]) -> Result<(Option<OwnedFd>, &'a [u8]), Errno> {
    let mut above: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() > LONGEST_PATH
        && let Some(slash) = rest[..LONGEST_PATH].iter().rposition(|&byte| byte == b'/')
    {
        let from = above.as_ref().map_or(root, AsFd::as_fd);
        above = Some(openat(from, os(&rest[..slash]), DIRECTORY, Mode::empty())?);
        rest = &rest[slash + 1..];
    }
    Ok((above, rest))
}

fn os(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}
