//! Clones one object: a file with its bytes, a link, a device.
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::super::TransferError;
use super::super::data::copy_bytes;
use super::super::descent::lstat;
use super::super::system::{self, Reflink};
use super::Cloning;

impl Cloning<'_> {
    pub(super) fn file(&mut self, name: &CStr) -> Result<(), TransferError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let source =
            openat(self.source.here(), name, flags, Mode::empty()).map_err(|e| self.unread(name, e))?;
        let stat = fstat(&source).map_err(|e| self.unread(name, e))?;
        self.once(name, &stat, |this| {
            if this.file_in_place(source.as_fd(), name, &stat)? {
                return Ok(());
            }
            this.copy_file(source.as_fd(), name, &stat).map_err(|e| this.unwritten(name, e))
        })
    }

    fn copy_file(&mut self, source: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> io::Result<()> {
        let mode = self.whole.metadata.mode_to_create(stat);
        let mut reflink = if stat.st_size == 0 { Reflink::Fails } else { self.reflink };
        let made = system::create_clone(source, self.target.here(), name, mode, &mut reflink)?;
        if stat.st_size > 0 {
            self.reflink = reflink;
        }
        if !made.cloned {
            copy_bytes(source, made.file.as_fd(), stat)?;
        }
        self.whole.metadata.file(source, &made, stat)
    }

    pub(super) fn symlink(&mut self, name: &CStr) -> Result<(), TransferError> {
        let stat = lstat(self.source.here(), name).map_err(|e| self.unread(name, e))?;
        self.once(name, &stat, |this| {
            this.clear(name)?;
            let (source, target) = (this.source.here(), this.target.here());
            let goal = nix::fcntl::readlinkat(source, name).map_err(|e| this.unread(name, e))?;
            nix::unistd::symlinkat(goal.as_os_str(), target, name).map_err(|e| this.unwritten(name, e))?;
            this.whole.metadata.link(source, target, name, &stat).map_err(|e| this.unwritten(name, e))
        })
    }

    /// A fifo, a socket or a device.
    pub(super) fn node(&mut self, name: &CStr) -> Result<(), TransferError> {
        let stat = lstat(self.source.here(), name).map_err(|e| self.unread(name, e))?;
        self.once(name, &stat, |this| {
            this.clear(name)?;
            let (source, target) = (this.source.here(), this.target.here());
            match system::make_node(target, name, &stat) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
                made => made.map_err(|e| this.unwritten(name, e))?,
            }
            this.whole.metadata.node(source, target, name, &stat).map_err(|e| this.unwritten(name, e))
        })
    }
}
