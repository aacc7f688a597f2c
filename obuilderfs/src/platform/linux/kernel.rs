//! Telling the kernel that what it keeps is out of date: notifications, `include/uapi/linux/fuse.h`.
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tracing::debug;

use super::connection;

const FUSE_NOTIFY_INVAL_INODE: i32 = 2;
const FUSE_NOTIFY_INVAL_ENTRY: i32 = 3;
const FUSE_NOTIFY_INC_EPOCH: i32 = 8;
/// Ask again instead of forgetting: the object under the name may be the same still.
const FUSE_EXPIRE_ONLY: u32 = 1;

/// The kernel's side of the mount.
#[derive(Debug)]
pub(crate) struct Kernel {
    device: File,
    mountpoint: PathBuf,
    /// Tells the mount from others that may come to lie on the mount point.
    number: Option<u32>,
}

impl Kernel {
    /// The mount on `mountpoint` (canonical), which is there already.
    pub(super) fn new(device: &File, mountpoint: &Path) -> std::io::Result<Self> {
        let device = device.try_clone()?;
        Ok(Self { device, mountpoint: mountpoint.to_owned(), number: connection::number(mountpoint)? })
    }

    /// Every name that nobody uses is forgotten. A name that was dropped cannot be told by name any more, but is kept
    /// as long as there are names below it, and those until the memory is wanted. Every change of a mount's options
    /// drops them all (`reconfigure_super` in `fs/super.c`); this one changes none.
    ///
    /// # Errors
    /// As `fspick(2)` and `fsconfig(2)`; `ENOENT` if the mount was moved, or another covers it.
    pub(crate) fn forget_unused(&self) -> Result<(), Errno> {
        connection::reconfigure(&self.mountpoint, self.number.ok_or(Errno::ENOENT)?)
    }

    /// The name in that directory has to be asked for again. Waits for the directory's lock.
    pub(crate) fn expire_name(&self, directory: u64, name: &OsStr) {
        self.notify_name(directory, name, FUSE_EXPIRE_ONLY);
    }

    /// The name in that directory, and everything below it that nobody uses, is to be forgotten.
    pub(crate) fn forget_name(&self, directory: u64, name: &OsStr) {
        self.notify_name(directory, name, 0);
    }

    fn notify_name(&self, directory: u64, name: &OsStr, flags: u32) {
        let mut body = directory.to_ne_bytes().to_vec();
        body.extend((name.len() as u32).to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend(name.as_bytes());
        body.push(0);
        self.notify(FUSE_NOTIFY_INVAL_ENTRY, &body);
    }

    /// Attributes and bytes of the object have to be asked for again.
    pub(crate) fn expire_object(&self, node: u64) {
        self.notify_object(node, 0);
    }

    /// Attributes of the object have to be asked for again. Waits for nobody. Says whether the kernel knows the
    /// object.
    pub(crate) fn expire_attributes(&self, node: u64) -> bool {
        self.notify_object(node, -1)
    }

    /// `from`: the first byte that is out of date, none if negative.
    fn notify_object(&self, node: u64, from: i64) -> bool {
        let mut body = node.to_ne_bytes().to_vec();
        body.extend(from.to_ne_bytes());
        body.extend(0i64.to_ne_bytes());
        self.notify(FUSE_NOTIFY_INVAL_INODE, &body)
    }

    /// All names have to be asked for again (since Linux 6.16).
    pub(crate) fn expire_all_names(&self) {
        self.notify(FUSE_NOTIFY_INC_EPOCH, &[]);
    }

    /// Sends a notification: `struct fuse_out_header` with the code in place of an error and no request's id. False
    /// if the kernel does not keep what it is about.
    fn notify(&self, code: i32, body: &[u8]) -> bool {
        let length = 16 + body.len();
        let mut message = Vec::with_capacity(length);
        message.extend((length as u32).to_ne_bytes());
        message.extend(code.to_ne_bytes());
        message.extend(0u64.to_ne_bytes());
        message.extend(body);
        match (&self.device).write(&message) {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return false,
            Err(e) => debug!(code, "the kernel did not take a notification: {e}"),
            Ok(_) => {}
        }
        true
    }
}

/// A pipe that never blocks, to wake a thread.
///
/// # Errors
/// As `pipe2(2)`.
pub(crate) fn wake_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
}
