//! Owner, mode, extended attributes and times of a cloned object, set in the order that keeps them all:
//! a change of owner clears set-id bits and capabilities, and everything but times changes the times.
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, getegid, geteuid};
use xattr::FileExt as _;

use super::super::system::{self, Created};
use super::Reown;

/// The label of SELinux comes from the policy for the new place, not from the original.
const LABEL: &str = "security.selinux";

/// How the attributes begin in which overlayfs keeps books about its layers: they are no part of a tree.
const BOOKS: &[u8] = b"trusted.overlay.";

/// What created objects get by themselves, and who gets them.
pub(super) struct Metadata {
    reown: Option<Reown>,
    creator: (u32, u32),
    mask: Mode,
}

impl Metadata {
    pub(super) fn new(reown: Option<Reown>) -> Self {
        let creator = (geteuid().as_raw(), getegid().as_raw());
        Self { reown, creator, mask: system::creation_mask() }
    }

    /// The mode to create a file with: nobody but us may have it until it has its owner.
    pub(super) fn mode_to_create(&self, stat: &FileStat) -> Mode {
        if self.new_owner(stat).is_none() { permissions(stat) } else { Mode::S_IRUSR | Mode::S_IWUSR }
    }

    pub(super) fn file(&self, source: BorrowedFd<'_>, made: &Created, stat: &FileStat) -> io::Result<()> {
        let target = made.file.as_fd();
        let mode = permissions(stat);
        let owner = self.new_owner(stat);
        if let Some((uid, gid)) = owner {
            fchown(target, Some(uid), Some(gid))?;
        }
        let lost = self.mask | Mode::S_ISUID | Mode::S_ISGID | Mode::S_ISVTX;
        if owner.is_some() || mode.intersects(lost) {
            fchmod(target, mode)?;
        }
        copy_attributes(source, target)?;
        let (atime, mtime) = times(stat);
        Ok(futimens(target, &atime, &mtime)?)
    }

    pub(super) fn directory(
        &self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        stat: &FileStat,
    ) -> io::Result<()> {
        if let Some((uid, gid)) = self.new_owner(stat) {
            fchown(target, Some(uid), Some(gid))?;
        }
        fchmod(target, permissions(stat))?;
        copy_attributes(source, target)?;
        let (atime, mtime) = times(stat);
        Ok(futimens(target, &atime, &mtime)?)
    }

    pub(super) fn link(
        &self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        stat: &FileStat,
    ) -> io::Result<()> {
        if let Some((uid, gid)) = self.new_owner(stat) {
            fchownat(target, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        copy_link_attributes(&system::link_path(source, name), &system::link_path(target, name))?;
        let (atime, mtime) = times(stat);
        Ok(utimensat(target, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink)?)
    }

    pub(super) fn node(
        &self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        stat: &FileStat,
    ) -> io::Result<()> {
        if let Some((uid, gid)) = self.new_owner(stat) {
            fchownat(target, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        fchmodat(target, name, permissions(stat), FchmodatFlags::FollowSymlink)?;
        copy_link_attributes(&system::link_path(source, name), &system::link_path(target, name))?;
        let (atime, mtime) = times(stat);
        Ok(utimensat(target, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink)?)
    }

    /// The owner to set, unless creation gave the right one.
    fn new_owner(&self, stat: &FileStat) -> Option<(Uid, Gid)> {
        let owner = match self.reown {
            Some(reown) if reown.from == stat.st_uid => (reown.uid, reown.gid),
            _ => (stat.st_uid, stat.st_gid),
        };
        (owner != self.creator).then_some((Uid::from_raw(owner.0), Gid::from_raw(owner.1)))
    }
}

/// Makes a directory that was there already ours, without attributes and anything that it would hand down.
pub(super) fn strip(directory: BorrowedFd<'_>) -> io::Result<()> {
    fchown(directory, Some(geteuid()), Some(getegid()))?;
    stop_inheritance(directory)?;
    list(directory)?.iter().try_for_each(|name| FdRef(directory).remove_xattr(name))
}

/// Makes sure that what is created below `root` has our group and no ACL, until the clone gets its own.
pub(super) fn stop_inheritance(root: BorrowedFd<'_>) -> io::Result<()> {
    let stat = nix::sys::stat::fstat(root)?;
    if stat.st_gid != getegid().as_raw() {
        fchown(root, None, Some(getegid()))?;
    }
    fchmod(root, Mode::S_IRWXU)?;
    for name in list(root)? {
        if name.as_encoded_bytes().starts_with(b"system.posix_acl_") {
            FdRef(root).remove_xattr(&name)?;
        }
    }
    Ok(())
}

fn permissions(stat: &FileStat) -> Mode {
    Mode::from_bits_truncate(stat.st_mode & 0o7777)
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (TimeSpec::new(stat.st_atime, stat.st_atime_nsec), TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec))
}

/// An open file as the `xattr` crate wants it.
struct FdRef<'a>(BorrowedFd<'a>);

impl std::os::fd::AsRawFd for FdRef<'_> {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.0)
    }
}

impl xattr::FileExt for FdRef<'_> {}

/// The extended attributes of an open file, with their values.
pub(in super::super) fn attributes(file: BorrowedFd<'_>) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for name in list(file)? {
        if let Some(value) = FdRef(file).get_xattr(&name)? {
            found.insert(name, value);
        }
    }
    Ok(found)
}

/// The attributes of an open file; none where the file system has none.
fn list(file: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    match FdRef(file).list_xattr() {
        Ok(names) => Ok(names.filter(|name| belongs(name)).collect()),
        Err(error) if not_supported(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn copy_attributes(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    for name in list(source)? {
        if let Some(value) = FdRef(source).get_xattr(&name)? {
            FdRef(target).set_xattr(&name, &value).map_err(|e| unkept(&name, e))?;
        }
    }
    Ok(())
}

/// The same for what cannot be opened. Where /proc is missing the attributes of links cannot be reached.
fn copy_link_attributes(source: &Path, target: &Path) -> io::Result<()> {
    let names = match xattr::list(source) {
        Ok(names) => names,
        Err(error) if not_supported(&error) || error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names.filter(|name| belongs(name)) {
        if let Some(value) = xattr::get(source, &name)? {
            xattr::set(target, &name, &value).map_err(|e| unkept(&name, e))?;
        }
    }
    Ok(())
}

/// Whether an attribute is the tree's own.
fn belongs(name: &OsStr) -> bool {
    name != LABEL && !name.as_encoded_bytes().starts_with(BOOKS)
}

fn not_supported(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EOPNOTSUPP | Errno::ENOSYS))
}

/// Says which attribute it was, as an ACL or a capability that is lost in silence is a hole in the result.
fn unkept(name: &OsStr, error: io::Error) -> io::Error {
    if not_supported(&error) {
        let name = name.display();
        return io::Error::other(format!("its file system cannot hold the extended attribute {name}"));
    }
    error
}
