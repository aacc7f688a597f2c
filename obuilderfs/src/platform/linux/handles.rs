//! File handles: a name for an object that costs no descriptor and does not keep its file system busy.
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Longest handle the kernel makes, `MAX_HANDLE_SZ` in `name_to_handle_at(2)`.
const MAX_HANDLE: usize = 128;

/// A kernel file handle. It holds the inode's generation, so a number used again has another handle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Handle {
    mount: i32,
    kind: i32,
    bytes: Box<[u8]>,
}

impl Handle {
    /// The id of the mount it was taken on.
    pub(crate) fn mount(&self) -> i32 {
        self.mount
    }
}

/// `struct file_handle` with room for the longest handle.
#[repr(C)]
struct RawHandle {
    len: u32,
    kind: i32,
    bytes: [u8; MAX_HANDLE],
}

/// The handle of the object behind `fd`; `None` where its file system gives none (`EOPNOTSUPP`).
///
/// # Errors
/// As `name_to_handle_at(2)`.
pub(crate) fn handle_of(fd: BorrowedFd<'_>) -> Result<Option<Handle>, Errno> {
    let mut raw = MaybeUninit::<RawHandle>::uninit();
    let mut mount = 0;
    // SAFETY: `raw` has room for `len` bytes after the header, and the header's length field is set first.
    let result = unsafe {
        (&raw mut (*raw.as_mut_ptr()).len).write(MAX_HANDLE as u32);
        libc::name_to_handle_at(
            fd.as_raw_fd(),
            c"".as_ptr(),
            raw.as_mut_ptr().cast(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    match Errno::result(result) {
        Ok(_) => {}
        Err(Errno::EOPNOTSUPP | Errno::EOVERFLOW) => return Ok(None),
        Err(e) => return Err(e),
    }
    // SAFETY: on success the kernel has filled the header and the first `len` bytes, `len` <= MAX_HANDLE.
    let (kind, bytes) = unsafe {
        let raw = raw.as_ptr();
        let len = (&raw const (*raw).len).read() as usize;
        let start = (&raw const (*raw).bytes).cast::<u8>();
        ((&raw const (*raw).kind).read(), std::slice::from_raw_parts(start, len.min(MAX_HANDLE)))
    };
    Ok(Some(Handle { mount, kind, bytes: bytes.into() }))
}

/// An `O_PATH` descriptor of the object `handle` names, on the mount `mount` is open on. Needs
/// `CAP_DAC_READ_SEARCH`; `mount` must not itself be an `O_PATH` descriptor.
///
/// # Errors
/// `ESTALE` if the object is gone; else as `open_by_handle_at(2)`.
pub(crate) fn open_handle(mount: BorrowedFd<'_>, handle: &Handle) -> Result<OwnedFd, Errno> {
    let mut raw = RawHandle { len: handle.bytes.len() as u32, kind: handle.kind, bytes: [0; MAX_HANDLE] };
    raw.bytes[..handle.bytes.len()].copy_from_slice(&handle.bytes);
    // SAFETY: `raw` is a complete `struct file_handle` of `len` bytes.
    let fd = unsafe {
        libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut raw).cast(), libc::O_PATH | libc::O_CLOEXEC)
    };
    Errno::result(fd)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
