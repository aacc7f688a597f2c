//! Telling the kernel that what it keeps is out of date: notifications, `include/uapi/linux/fuse.h`.
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tracing::debug;

const FUSE_NOTIFY_INVAL_INODE: i32 = 2;
const FUSE_NOTIFY_INVAL_ENTRY: i32 = 3;
const FUSE_NOTIFY_INC_EPOCH: i32 = 8;
/// Ask again instead of forgetting: the object under the name may be the same still.
const FUSE_EXPIRE_ONLY: u32 = 1;

/// The kernel's side of the mount.
#[derive(Debug)]
pub(crate) struct Kernel(File);

impl Kernel {
    pub(super) fn new(device: &File) -> std::io::Result<Self> {
        device.try_clone().map(Self)
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

    /// Attributes of the object have to be asked for again.
    pub(crate) fn expire_attributes(&self, node: u64) {
        self.notify_object(node, -1);
    }

    /// `from`: the first byte that is out of date, none if negative.
    fn notify_object(&self, node: u64, from: i64) {
        let mut body = node.to_ne_bytes().to_vec();
        body.extend(from.to_ne_bytes());
        body.extend(0i64.to_ne_bytes());
        self.notify(FUSE_NOTIFY_INVAL_INODE, &body);
    }

    /// All names have to be asked for again (since Linux 6.16).
    pub(crate) fn expire_all_names(&self) {
        self.notify(FUSE_NOTIFY_INC_EPOCH, &[]);
    }

    /// Sends a notification: `struct fuse_out_header` with the code in place of an error and no request's id.
    fn notify(&self, code: i32, body: &[u8]) {
        let length = 16 + body.len();
        let mut message = Vec::with_capacity(length);
        message.extend((length as u32).to_ne_bytes());
        message.extend(code.to_ne_bytes());
        message.extend(0u64.to_ne_bytes());
        message.extend(body);
        // ENOENT: the kernel does not keep it any more.
        if let Err(e) = (&self.0).write(&message)
            && e.raw_os_error() != Some(libc::ENOENT)
        {
            debug!(code, "the kernel did not take a notification: {e}");
        }
    }
}

/// A pipe that never blocks, to wake a thread.
///
/// # Errors
/// As `pipe2(2)`.
pub(crate) fn wake_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
}
