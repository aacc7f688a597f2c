//! A clone in whose place something is already: what is the same stays, all else goes first.
use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::super::TransferError;
use super::super::descent::{DIRECTORY, Entry, entries};
use super::super::remove::remove_entry;
use super::super::same::{same_bytes, same_metadata};
use super::Cloning;
use super::metadata::strip;

impl Cloning<'_> {
    /// Removes what the original, whose names are `wanted`, does not have.
    pub(super) fn clear_others(&self, wanted: &[Entry]) -> Result<(), TransferError> {
        if !self.whole.onto {
            return Ok(());
        }
        let wanted: HashSet<&CStr> = wanted.iter().map(|entry| entry.name.as_c_str()).collect();
        let there = entries(self.target.here()).map_err(|e| self.unwritten(c"", e))?;
        let mut others = there.iter().filter(|entry| !wanted.contains(entry.name.as_c_str()));
        others.try_for_each(|entry| self.remove(&entry.name))
    }

    /// Removes what is in the place of `name`, which will be made anew.
    pub(super) fn clear(&self, name: &CStr) -> Result<(), TransferError> {
        if !self.whole.onto {
            return Ok(());
        }
        self.ready()?;
        self.remove(name)
    }

    /// Takes from the directory that was there already what it would hand down to what is made in it. One in
    /// which nothing is made is not touched: a layer of overlayfs would hold it then.
    fn ready(&self) -> Result<(), TransferError> {
        match self.frames.last() {
            Some(frame) if !frame.ready.replace(true) => {
                strip(self.target.here()).map_err(|e| self.unwritten(c"", e))
            }
            _ => Ok(()),
        }
    }

    fn remove(&self, name: &CStr) -> Result<(), TransferError> {
        remove_entry(self.target.here(), name, &self.below(self.whole.to, c""))
    }

    /// The directory that is in the place of `name` already; what else is there goes.
    pub(super) fn directory_in_place(&self, name: &CStr) -> Result<Option<OwnedFd>, TransferError> {
        if !self.whole.onto {
            return Ok(None);
        }
        match openat(self.target.here(), name, DIRECTORY, Mode::empty()) {
            Ok(there) => Ok(Some(there)),
            Err(Errno::ENOENT) => self.ready().map(|()| None),
            Err(_) => self.clear(name).map(|()| None),
        }
    }

    /// Makes the directory that was there already as one that was just made.
    pub(super) fn make_new(&self) -> std::io::Result<()> {
        if self.whole.onto { strip(self.target.here()) } else { Ok(()) }
    }

    /// Whether the directory itself is the same already.
    pub(super) fn is_same_directory(&self, stat: &FileStat) -> std::io::Result<bool> {
        if !self.whole.onto {
            return Ok(false);
        }
        let here = self.target.here();
        same_metadata(self.source.here(), stat, here, &fstat(here)?)
    }

    /// Whether the file in the place of `name` is the same as `source` already; if not, it goes.
    pub(super) fn file_in_place(
        &self,
        source: BorrowedFd<'_>,
        name: &CStr,
        stat: &FileStat,
    ) -> Result<bool, TransferError> {
        if !self.whole.onto {
            return Ok(false);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        if let Ok(there) = openat(self.target.here(), name, flags, Mode::empty()) {
            let found = fstat(&there).map_err(|e| self.unwritten(name, e))?;
            let same = same_metadata(source, stat, there.as_fd(), &found)
                .and_then(|same| Ok(same && same_bytes(source, there.as_fd(), stat)?))
                .map_err(|e| self.unread(name, e))?;
            if same && self.whole.links.take(&found, stat) {
                return Ok(true);
            }
        }
        self.clear(name)?;
        Ok(false)
    }
}
