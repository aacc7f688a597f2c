//! Linux: subvolumes of btrfs (linux/btrfs.h, btrfs-ioctl(2)), without starting a program.
#![allow(unsafe_code)]
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, statfs};

const MAGIC: u8 = 0x94;
/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1 << 1;
/// `BTRFS_SUBVOL_SPEC_BY_ID`.
const BY_ID: u64 = 1 << 4;
/// The number of the directory that a subvolume is (`BTRFS_FIRST_FREE_OBJECTID`).
const ROOT_DIRECTORY: u64 = 256;
/// The tree of all trees (`BTRFS_ROOT_TREE_OBJECTID`).
const ROOT_TREE: u64 = 1;
/// The key type that leads from a subvolume to one in it (`BTRFS_ROOT_REF_KEY`).
const ROOT_REF: u32 = 156;
/// What is deleted and not yet freed (`BTRFS_ORPHAN_OBJECTID`), and the key type of each such subvolume.
const ORPHANS: u64 = -5_i64 as u64;
const ORPHAN: u32 = 48;

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct Named {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    /// The name, or with [`BY_ID`] in its first bytes the id.
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct Lookup {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_search_args`, its key spread out.
#[repr(C)]
struct Search {
    tree: u64,
    objects: [u64; 2],
    offsets: [u64; 2],
    transactions: [u64; 2],
    types: [u32; 2],
    items: u32,
    unused: u32,
    unused_too: [u64; 4],
    buffer: [u8; 3992],
}

/// `struct btrfs_ioctl_get_subvol_rootref_args`: the subvolumes in one, and the directory that each is in.
#[repr(C)]
struct Children {
    from: u64,
    found: [[u64; 2]; 255],
    count: u8,
    unused: [u8; 7],
}

/// `struct btrfs_ioctl_ino_lookup_user_args`.
#[repr(C)]
struct Place {
    dir: u64,
    subvolume: u64,
    name: [u8; 256],
    /// Of the directory, with a slash at its end.
    path: [u8; 3824],
}

mod ioctl {
    use super::{Children, Lookup, MAGIC, Named, Place, Search};
    nix::ioctl_none!(sync, MAGIC, 8);
    nix::ioctl_readwrite!(search, MAGIC, 17, Search);
    nix::ioctl_readwrite!(lookup, MAGIC, 18, Lookup);
    nix::ioctl_write_ptr!(snapshot, MAGIC, 23, Named);
    nix::ioctl_write_ptr!(create, MAGIC, 24, Named);
    nix::ioctl_read!(flags, MAGIC, 25, u64);
    nix::ioctl_write_ptr!(set_flags, MAGIC, 26, u64);
    nix::ioctl_readwrite!(children, MAGIC, 61, Children);
    nix::ioctl_readwrite!(place, MAGIC, 62, Place);
    nix::ioctl_write_ptr!(destroy, MAGIC, 63, Named);
}

/// Whether `path` is on btrfs.
pub(in super::super::super) fn is_btrfs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.filesystem_type() == BTRFS_SUPER_MAGIC)
}

/// Makes the empty subvolume `dir`.
pub(in super::super::super) fn create(dir: &Path) -> io::Result<()> {
    let (parent, named) = named(dir)?;
    // SAFETY: the kernel reads one struct of this layout; its name ends in NUL. So in all of this file.
    unsafe { ioctl::create(parent.as_raw_fd(), &raw const *named) }?;
    Ok(())
}

/// Makes `to` a writable subvolume with all that the subvolume `from` holds, but for subvolumes in it.
pub(in super::super::super) fn snapshot(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let (parent, mut named) = named(to)?;
    named.fd = source.as_raw_fd().into();
    // SAFETY: as in `create`, and `source` is open.
    unsafe { ioctl::snapshot(parent.as_raw_fd(), &raw const *named) }?;
    Ok(())
}

/// Removes the subvolume `dir`. The subvolumes in it go first, if we may look for them: if not, it is not empty.
pub(in super::super::super) fn destroy(dir: &Path) -> io::Result<()> {
    let (parent, named) = named(dir)?;
    // SAFETY: as in `create`.
    let mut destroyed = unsafe { ioctl::destroy(parent.as_raw_fd(), &raw const *named) };
    if destroyed == Err(Errno::ENOTEMPTY) {
        let root = File::open(dir)?;
        destroy_within(root.as_raw_fd(), id(root.as_raw_fd())?)?;
        // SAFETY: as in `create`.
        destroyed = unsafe { ioctl::destroy(parent.as_raw_fd(), &raw const *named) };
    }
    destroyed?;
    Ok(())
}

/// The subvolumes directly in the subvolume `dir`, wherever in it they are. Needs no privilege.
pub(in super::super::super) fn nested(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let root = File::open(dir)?;
    let mut nested = Vec::new();
    let mut args = Box::new(Children { from: 0, found: [[0; 2]; 255], count: 0, unused: [0; 7] });
    loop {
        // SAFETY: the kernel reads and writes one struct of this layout.
        let all = match unsafe { ioctl::children(root.as_raw_fd(), &raw mut *args) } {
            Ok(_) => true,
            // There are more.
            Err(Errno::EOVERFLOW) => false,
            Err(error) => return Err(error.into()),
        };
        for [subvolume, parent] in &args.found[..usize::from(args.count)] {
            nested.push(dir.join(place(&root, *subvolume, *parent)?));
        }
        if all {
            return Ok(nested);
        }
    }
}

/// Where the subvolume lies below the one that `root` is.
fn place(root: &File, subvolume: u64, dir: u64) -> io::Result<PathBuf> {
    let mut args = Box::new(Place { dir, subvolume, name: [0; 256], path: [0; 3824] });
    // SAFETY: the kernel reads and writes one struct of this layout.
    unsafe { ioctl::place(root.as_raw_fd(), &raw mut *args) }?;
    let text = |field: &[u8]| {
        let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
        PathBuf::from(OsStr::from_bytes(&field[..end]))
    };
    Ok(text(&args.path).join(text(&args.name)))
}

/// Lets the file system of `dir` begin to free what was deleted. `true` once all of it is free, or if we may not
/// look.
pub(in super::super::super) fn reclaimed(dir: &Path) -> io::Result<bool> {
    let root = File::open(dir)?;
    match in_root_tree(root.as_raw_fd(), ORPHANS, ORPHAN) {
        Ok(left) if left.is_empty() => return Ok(true),
        Err(Errno::EPERM) => return Ok(true),
        left => left?,
    };
    // SAFETY: it has no argument.
    unsafe { ioctl::sync(root.as_raw_fd()) }?;
    Ok(false)
}

/// Whether the subvolume `dir` is read-only; `None` if it is no subvolume.
pub(in super::super::super) fn read_only(dir: &Path) -> io::Result<Option<bool>> {
    match flags(&File::open(dir)?) {
        Ok(flags) => Ok(Some(flags & READ_ONLY != 0)),
        Err(Errno::EINVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the subvolume `dir` read-only, or writable.
pub(in super::super::super) fn set_read_only(dir: &Path, read_only: bool) -> io::Result<()> {
    let root = File::open(dir)?;
    let flags = flags(&root)?;
    let wanted = if read_only { flags | READ_ONLY } else { flags & !READ_ONLY };
    if wanted != flags {
        // SAFETY: the kernel reads one integer.
        unsafe { ioctl::set_flags(root.as_raw_fd(), &raw const wanted) }?;
    }
    Ok(())
}

fn flags(root: &File) -> nix::Result<u64> {
    let mut flags = 0;
    // SAFETY: the kernel writes one integer.
    unsafe { ioctl::flags(root.as_raw_fd(), &raw mut flags) }?;
    Ok(flags)
}

/// The directory of `dir`, and an argument that names it there.
fn named(dir: &Path) -> io::Result<(File, Box<Named>)> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(Errno::EINVAL.into());
    };
    let mut named = Box::new(Named { fd: 0, transid: 0, flags: 0, unused: [0; 4], name: [0; 4040] });
    write_name(&mut named.name, name)?;
    Ok((File::open(parent)?, named))
}

fn write_name(field: &mut [u8; 4040], name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    if bytes.len() >= field.len() {
        return Err(Errno::ENAMETOOLONG.into());
    }
    field[..bytes.len()].copy_from_slice(bytes);
    Ok(())
}

/// The id of the subvolume that `fd` is in.
fn id(fd: RawFd) -> nix::Result<u64> {
    let mut lookup = Box::new(Lookup { tree: 0, object: ROOT_DIRECTORY, name: [0; 4080] });
    // SAFETY: the kernel reads and writes one struct of this layout.
    unsafe { ioctl::lookup(fd, &raw mut *lookup) }?;
    Ok(lookup.tree)
}

fn destroy_within(fd: RawFd, parent: u64) -> nix::Result<()> {
    loop {
        let children = children(fd, parent)?;
        if children.is_empty() {
            return Ok(());
        }
        for child in children {
            destroy_within(fd, child)?;
            let mut named =
                Box::new(Named { fd: 0, transid: 0, flags: BY_ID, unused: [0; 4], name: [0; 4040] });
            named.name[..8].copy_from_slice(&child.to_ne_bytes());
            // SAFETY: as in `create`, but that it is called by its id.
            unsafe { ioctl::destroy(fd, &raw const *named) }?;
        }
    }
}

/// The subvolumes directly in `parent`, some of them if there are many.
fn children(fd: RawFd, parent: u64) -> nix::Result<Vec<u64>> {
    in_root_tree(fd, parent, ROOT_REF)
}

/// The subvolumes that the items of `object` and of this type are about, some of them if there are many.
fn in_root_tree(fd: RawFd, object: u64, kind: u32) -> nix::Result<Vec<u64>> {
    let mut search = Box::new(Search {
        tree: ROOT_TREE,
        objects: [object; 2],
        offsets: [0, u64::MAX],
        transactions: [0, u64::MAX],
        types: [kind; 2],
        items: u32::MAX,
        unused: 0,
        unused_too: [0; 4],
        buffer: [0; 3992],
    });
    // SAFETY: the kernel reads and writes one struct of this layout.
    unsafe { ioctl::search(fd, &raw mut *search) }?;
    Ok(found(&search.buffer, search.items))
}

/// The third number of each item's key. An item is a `struct btrfs_ioctl_search_header` and its bytes.
fn found(buffer: &[u8], items: u32) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut rest = buffer;
    for _ in 0..items {
        let Some((header, data)) = rest.split_at_checked(32) else { break };
        let [offset, len] = [&header[16..24], &header[28..32]];
        ids.push(u64::from_ne_bytes(offset.try_into().unwrap_or_default()));
        let len = u32::from_ne_bytes(len.try_into().unwrap_or_default()) as usize;
        rest = data.get(len..).unwrap_or_default();
    }
    ids
}
