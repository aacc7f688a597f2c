//! Hard links: further names of a file that is in the clone already.
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, open, openat};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::linkat;

use super::super::TransferError;
use super::super::descent::DIRECTORY;
use super::Cloning;

/// Longest path given to one call: `PATH_MAX` of every system we know is more.
const LONGEST_PATH: usize = 1000;

impl Cloning<'_> {
    /// Gives the clone of the file that `stat` describes the further name `name`, if it has one already;
    /// otherwise remembers `name` as its first.
    pub(super) fn link_to_first(&mut self, name: &CStr, stat: &FileStat) -> Result<bool, TransferError> {
        if stat.st_nlink <= 1 {
            return Ok(false);
        }
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.linked.get(&key) {
            self.link(first, name).map_err(|e| self.unwritten(name, e))?;
            return Ok(true);
        }
        let parent_len = self.path.len();
        self.push_name(name);
        self.linked.insert(key, self.path.clone());
        self.path.truncate(parent_len);
        Ok(false)
    }

    fn link(&self, first: &[u8], name: &CStr) -> Result<(), Errno> {
        let opened;
        let root = match self.target.root() {
            Some(root) => root,
            None => {
                opened = open(self.to, DIRECTORY, Mode::empty())?;
                opened.as_fd()
            }
        };
        let (above, rest) = open_above(root, first)?;
        let above = above.as_ref().map_or(root, AsFd::as_fd);
        linkat(above, os(rest), self.target.here(), name, AtFlags::empty())
    }
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
