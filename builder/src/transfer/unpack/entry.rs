//! One entry of an archive, made in its directory with all that belongs to it.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags};
use nix::sys::stat::{fchmod, fchmodat, fstat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};
use xattr::FileExt as _;

use super::super::descent;
use super::super::rooted::Place;
use super::super::system;

/// How archives name extended attributes (star(1), PAX).
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// What belongs to an entry besides its bytes.
pub(super) struct Meta {
    owner: (Uid, Gid),
    mode: Mode,
    mtime: TimeSpec,
    attributes: Vec<(OsString, Vec<u8>)>,
}

impl Meta {
    pub(super) fn of<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Self> {
        let mut attributes = Vec::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                if let Some(name) = extension.key_bytes().strip_prefix(ATTRIBUTE) {
                    attributes.push((OsStr::from_bytes(name).to_owned(), extension.value_bytes().to_vec()));
                }
            }
        }
        let header = entry.header();
        let id =
            |id: u64| u32::try_from(id).map_err(|_| io::Error::other(format!("{id} is no user or group")));
        Ok(Self {
            owner: (Uid::from_raw(id(header.uid()?)?), Gid::from_raw(id(header.gid()?)?)),
            mode: Mode::from_bits_truncate(header.mode()? as libc::mode_t),
            // An archive may hold any number; what no file system can keep is the beginning of time.
            mtime: TimeSpec::new(i64::try_from(header.mtime()?).unwrap_or(0), 0),
            attributes,
        })
    }

    pub(super) fn file<R: Read>(
        &self,
        entry: &mut tar::Entry<'_, R>,
        parent: &Place,
        name: &OsStr,
    ) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(parent.dir(), name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let mut file = File::from(fd);
        io::copy(entry, &mut file)?;
        // In this order: a change of owner clears set-id bits and capabilities, and all change the times.
        fchown(&file, Some(self.owner.0), Some(self.owner.1))?;
        fchmod(&file, self.mode)?;
        self.set_attributes(&file)?;
        Ok(futimens(&file, &self.mtime, &self.mtime)?)
    }

    pub(super) fn link<R: Read>(
        &self,
        entry: &tar::Entry<'_, R>,
        parent: &Place,
        name: &OsStr,
    ) -> io::Result<()> {
        let goal = entry.link_name_bytes().unwrap_or_default();
        nix::unistd::symlinkat(OsStr::from_bytes(&goal), parent.dir(), name)?;
        self.own_and_date(parent, name)
    }

    pub(super) fn node<R: Read>(
        &self,
        entry: &tar::Entry<'_, R>,
        parent: &Place,
        name: &OsStr,
    ) -> io::Result<()> {
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Char => libc::S_IFCHR,
            tar::EntryType::Block => libc::S_IFBLK,
            _ => libc::S_IFIFO,
        };
        let mut stat = fstat(parent.dir())?;
        stat.st_mode = kind | self.mode.bits();
        if kind != libc::S_IFIFO {
            let (major, minor) = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
            stat.st_rdev = libc::makedev(major as _, minor as _);
        }
        system::make_node(parent.dir(), &std::ffi::CString::new(name.as_bytes())?, &stat)?;
        fchownat(parent.dir(), name, Some(self.owner.0), Some(self.owner.1), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        fchmodat(parent.dir(), name, self.mode, FchmodatFlags::FollowSymlink)?;
        self.own_and_date(parent, name)
    }

    fn own_and_date(&self, parent: &Place, name: &OsStr) -> io::Result<()> {
        fchownat(parent.dir(), name, Some(self.owner.0), Some(self.owner.1), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let nofollow = UtimensatFlags::NoFollowSymlink;
        Ok(utimensat(parent.dir(), name, &self.mtime, &self.mtime, nofollow)?)
    }

    /// Gives a directory all but its time.
    pub(super) fn own_directory(&self, place: &Place) -> io::Result<()> {
        fchown(place.dir(), Some(self.owner.0), Some(self.owner.1))?;
        fchmod(place.dir(), self.mode)?;
        self.set_attributes(&File::from(place.dir().try_clone_to_owned()?))
    }

    pub(super) fn set_time(&self, dir: &Path) -> io::Result<()> {
        let here = nix::fcntl::AT_FDCWD;
        Ok(utimensat(here, dir, &self.mtime, &self.mtime, UtimensatFlags::NoFollowSymlink)?)
    }

    /// Attributes that the file system does not have are left out.
    fn set_attributes(&self, file: &File) -> io::Result<()> {
        for (name, value) in &self.attributes {
            match file.set_xattr(name, value) {
                Err(error) if error.raw_os_error() == Some(libc::ENOTSUP) => {
                    tracing::warn!("the store's file system cannot keep the attribute {}", name.display());
                }
                set => set?,
            }
        }
        Ok(())
    }
}

/// Makes a directory the archive does not describe, or not yet.
pub(super) fn make_directory(parent: &Place, name: &OsStr) -> io::Result<()> {
    mkdirat(parent.dir(), name, Mode::S_IRWXU)?;
    let mode = Mode::S_IRWXU | Mode::S_IRGRP | Mode::S_IXGRP | Mode::S_IROTH | Mode::S_IXOTH;
    Ok(fchmodat(parent.dir(), name, mode, FchmodatFlags::FollowSymlink)?)
}

/// The names in a directory.
pub(super) fn names(place: &Place) -> io::Result<Vec<OsString>> {
    let entries = descent::entries(place.dir().as_fd())?;
    Ok(entries.into_iter().map(|entry| OsStr::from_bytes(entry.name.to_bytes()).to_owned()).collect())
}
