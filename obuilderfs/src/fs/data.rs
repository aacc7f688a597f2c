//! Open files and their bytes.
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::uio::{pread, pwrite};

use super::FileSystem;
use super::set_ids::act_on;
use super::shares::Share;
use crate::backing;
use crate::caller::{Caller, act_as, as_daemon};
use crate::nodes::Node;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A file some process has open.
#[derive(Debug)]
pub(crate) struct OpenFile {
    fd: OwnedFd,
    pub(crate) node: Arc<Node>,
    opener: Caller,
    /// It can be mapped for writing.
    mappable: bool,
    writable: bool,
    _share: Share,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.mappable {
            self.node.closed_for_mapping();
        }
        self.node.closed();
    }
}

impl OpenFile {
    /// `flags` are those of the open.
    fn new((fd, share): (OwnedFd, Share), node: Arc<Node>, opener: &Caller, flags: i32) -> Self {
        let (mappable, writable) =
            (flags & libc::O_ACCMODE == libc::O_RDWR, flags & libc::O_ACCMODE != libc::O_RDONLY);
        node.opened();
        if mappable {
            node.opened_for_mapping();
        }
        Self { fd, node, opener: *opener, mappable, writable, _share: share }
    }

    /// Who opened it.
    pub(super) fn opener(&self) -> &Caller {
        &self.opener
    }

    /// Whether it is open for writing.
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// The file below, open as the caller asked.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The flags to open with below. Creation is decided elsewhere; direct I/O is between the kernel and the
    /// caller, for our buffers are not aligned. We never wait: a lease that somebody has on the file gives
    /// `EAGAIN`, and to the bytes of a regular file `O_NONBLOCK` means nothing.
    pub(super) fn flags(flags: i32) -> OFlag {
        let dropped = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOCTTY | OFlag::O_ASYNC | OFlag::O_NOFOLLOW;
        let marks = OFlag::from_bits_retain(backing::O_DIRECT) | OFlag::from_bits_retain(backing::EXEC_OPEN);
        (OFlag::from_bits_retain(flags) - dropped - marks) | OFlag::O_NONBLOCK
    }
}

impl FileSystem {
    /// Opens the file `id` as the caller.
    pub(crate) fn open(&self, caller: &Caller, id: u64, flags: i32) -> Result<(u64, Arc<OpenFile>), Errno> {
        let share = self.shares.take(caller.uid)?;
        let node = self.nodes.get(id)?;
        let anchor = self.nodes.anchor(&node)?;
        let wanted = OpenFile::flags(flags);
        let uid = node.view.acting_uid(caller.uid);
        let open = || backing::undisturbed(|| backing::reopen(anchor.as_fd(), wanted));
        let opened = if wanted.contains(OFlag::O_TRUNC) {
            act_on(caller, uid, anchor.as_fd(), open)
        } else {
            act_as(caller, uid, open)
        };
        let fd = match opened {
            // To run a file takes no right to read it, and that the caller may run it the kernel has checked.
            Err(Errno::EACCES) if backing::is_exec_open(flags) => {
                as_daemon(|| backing::reopen(anchor.as_fd(), wanted))?
            }
            opened => opened?,
        };
        let file = self.opened((fd, share), node, caller, flags);
        if file.mappable {
            // What it keeps from before would hide the times that writes through memory leave.
            self.expire_attributes(id);
        }
        Ok((self.files.insert(Arc::clone(&file)), file))
    }

    /// A file that was just opened; `flags` are those of the open.
    pub(super) fn opened(
        &self,
        file: (OwnedFd, Share),
        node: Arc<Node>,
        opener: &Caller,
        flags: i32,
    ) -> Arc<OpenFile> {
        let file = OpenFile::new(file, node, opener, flags);
        self.forget_first(&file.node);
        Arc::new(file)
    }

    /// The last descriptor and mapping of an open file are gone. Gives the node it was open on.
    pub(crate) fn release(&self, handle: u64) -> Option<u64> {
        self.files.remove(handle).map(|file| file.node.id)
    }

    /// Reads up to `size` bytes and hands them to `take`.
    pub(crate) fn read<T>(
        &self,
        handle: u64,
        offset: u64,
        size: usize,
        take: impl FnOnce(Result<&[u8], Errno>) -> T,
    ) -> T {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(buffer.len().max(size), 0);
            let read = self.files.get(handle).and_then(|file| {
                let mut filled = 0;
                while filled < size {
                    let at = offset_of(offset + filled as u64)?;
                    match pread(&file.fd, &mut buffer[filled..size], at) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(Errno::EINTR) => {}
                        Err(e) => return Err(e),
                    }
                }
                Ok(filled)
            });
            take(read.map(|filled| &buffer[..filled]))
        })
    }

    /// Writes as the caller, so that the file loses set-id bits and capabilities exactly when it would have
    /// natively. `from_cache`: written back by the kernel, for whoever opened the file.
    pub(crate) fn write(
        &self,
        caller: &Caller,
        handle: u64,
        offset: u64,
        data: &[u8],
        from_cache: bool,
    ) -> Result<u32, Errno> {
        let file = self.files.get(handle)?;
        let caller = if from_cache { &file.opener } else { caller };
        let mut written = 0;
        act_on(caller, file.node.view.acting_uid(caller.uid), file.fd(), || {
            while written < data.len() {
                match pwrite(&file.fd, &data[written..], offset_of(offset + written as u64)?) {
                    Ok(0) => break,
                    Ok(count) => written += count,
                    Err(Errno::EINTR) => {}
                    Err(_) if written > 0 => break,
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        })?;
        u32::try_from(written).map_err(|_| Errno::EINVAL)
    }

    pub(crate) fn fsync(&self, handle: u64, data_only: bool) -> Result<(), Errno> {
        let file = self.files.get(handle)?;
        backing::sync(file.fd(), data_only)
    }

    /// `mode` is that of `fallocate(2)`.
    pub(crate) fn fallocate(
        &self,
        caller: &Caller,
        handle: u64,
        range: (u64, u64),
        mode: i32,
    ) -> Result<(), Errno> {
        let file = self.files.get(handle)?;
        let (offset, length) = (offset_of(range.0)?, offset_of(range.1)?);
        let uid = file.node.view.acting_uid(caller.uid);
        act_on(caller, uid, file.fd(), || backing::fallocate(file.fd(), mode, offset, length))
    }

    /// Where the next data or hole is.
    pub(crate) fn seek(&self, handle: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
        backing::seek(self.files.get(handle)?.fd(), offset, whence)
    }

    /// Copies between two open files below. Returns the bytes copied.
    pub(crate) fn copy_range(
        &self,
        caller: &Caller,
        from: (u64, u64),
        to: (u64, u64),
        length: u64,
    ) -> Result<u32, Errno> {
        let (source, target) = (self.files.get(from.0)?, self.files.get(to.0)?);
        let (source_at, target_at) = (offset_of(from.1)?, offset_of(to.1)?);
        // The reply has 32 bits for the count.
        let length = usize::try_from(length.min(1 << 30)).map_err(|_| Errno::EINVAL)?;
        let uid = target.node.view.acting_uid(caller.uid);
        let copied = act_on(caller, uid, target.fd(), || {
            backing::copy_range((source.fd(), source_at), (target.fd(), target_at), length)
        })?;
        u32::try_from(copied).map_err(|_| Errno::EINVAL)
    }
}

fn offset_of(value: u64) -> Result<i64, Errno> {
    i64::try_from(value).map_err(|_| Errno::EINVAL)
}
