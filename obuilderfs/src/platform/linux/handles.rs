//! File handles: a name for an object that costs no descriptor and does not keep its file system busy.
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::objects::c_string;

/// Longest handle the kernel makes, `MAX_HANDLE_SZ` in `name_to_handle_at(2)`.
const MAX_HANDLE: usize = 128;

/// Bytes of a handle that are kept in place: ext4, xfs, tmpfs and zfs need no more.
const INLINE: usize = 14;

/// A kernel file handle. It holds the inode's generation, so a number used again has another handle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Handle {
    // Side by side, for every node has one.
    mount: i32,
    kind: i32,
    bytes: Bytes,
}

/// A handle without the mount it was taken on, as the kernel gives it in other places too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HandleKey {
    kind: i32,
    bytes: Bytes,
}

impl HandleKey {
    /// The handle of that kind with these bytes.
    pub(crate) fn new(kind: i32, bytes: &[u8]) -> Self {
        Self { kind, bytes: Bytes::new(bytes) }
    }

    /// The inode number in it, for the file systems whose handles are known: `FILEID_INO32_GEN` of ext4 and xfs
    /// (`include/linux/exportfs.h`), of tmpfs (`shmem_encode_fh`), the 64-bit form of xfs
    /// (`xfs_fs_encode_fh`), btrfs (`btrfs_encode_fh`).
    pub(crate) fn inode(&self) -> Option<u64> {
        let bytes = self.bytes.as_slice();
        let word = |at: usize| Some(u64::from(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?)));
        let long = || Some(u64::from_ne_bytes(bytes.get(0..8)?.try_into().ok()?));
        match (self.kind, bytes.len()) {
            (1, 8) => word(0),
            (1, 12) => Some(word(4)? | word(8)? << 32),
            (0x81, 12) | (0x4d, 20) => long(),
            _ => None,
        }
    }
}

/// There is a handle for every node, so the common ones take no memory of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bytes {
    Short(u8, [u8; INLINE]),
    // A thin pointer: a fat one would make every handle larger.
    Long(Box<(usize, [u8; MAX_HANDLE])>),
}

impl Bytes {
    fn new(bytes: &[u8]) -> Self {
        let mut short = [0; INLINE];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Self::Short(length, short)
            }
            _ => {
                let mut long = [0; MAX_HANDLE];
                let length = bytes.len().min(MAX_HANDLE);
                long[..length].copy_from_slice(&bytes[..length]);
                Self::Long(Box::new((length, long)))
            }
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..usize::from(*length).min(INLINE)],
            Self::Long(long) => &long.1[..long.0],
        }
    }
}

impl Handle {
    /// The id of the mount it was taken on.
    pub(crate) fn mount(&self) -> i32 {
        self.mount
    }

    /// The handle itself.
    pub(crate) fn key(&self) -> HandleKey {
        HandleKey { kind: self.kind, bytes: self.bytes.clone() }
    }

    /// Whether that is the handle itself.
    pub(crate) fn has_key(&self, key: &HandleKey) -> bool {
        self.kind == key.kind && self.bytes == key.bytes
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
    handle_at(fd, OsStr::new(""))
}

/// The same for the entry `name` of `dir`, no link followed; for `dir` itself if `name` is empty.
///
/// # Errors
/// As `name_to_handle_at(2)`.
pub(crate) fn handle_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Handle>, Errno> {
    let name = c_string(name)?;
    let mut raw = MaybeUninit::<RawHandle>::uninit();
    let mut mount = 0;
    // SAFETY: `raw` has room for `len` bytes after the header, and the header's length field is set first; `name`
    // outlives the call.
    let result = unsafe {
        (&raw mut (*raw.as_mut_ptr()).len).write(MAX_HANDLE as u32);
        libc::name_to_handle_at(
            dir.as_raw_fd(),
            name.as_ptr(),
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
    Ok(Some(Handle { mount, kind, bytes: Bytes::new(bytes) }))
}

/// An `O_PATH` descriptor of the object `handle` names, on the mount `mount` is open on. Needs
/// `CAP_DAC_READ_SEARCH`; `mount` must not itself be an `O_PATH` descriptor.
///
/// # Errors
/// `ESTALE` if the object is gone; else as `open_by_handle_at(2)`.
pub(crate) fn open_handle(mount: BorrowedFd<'_>, handle: &Handle) -> Result<OwnedFd, Errno> {
    let bytes = handle.bytes.as_slice();
    let mut raw = RawHandle { len: bytes.len() as u32, kind: handle.kind, bytes: [0; MAX_HANDLE] };
    raw.bytes[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: `raw` is a complete `struct file_handle` of `len` bytes.
    let fd = unsafe {
        libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut raw).cast(), libc::O_PATH | libc::O_CLOEXEC)
    };
    Errno::result(fd)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_of_any_length_is_kept_whole() {
        for length in [0, 8, INLINE, INLINE + 1, MAX_HANDLE] {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            assert_eq!(Bytes::new(&bytes).as_slice(), bytes);
        }
        assert!(size_of::<Handle>() <= 24, "{}", size_of::<Handle>());
    }
}
