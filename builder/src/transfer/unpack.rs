//! Unpacks archives of root file systems: what `docker export` writes, and the layers of OCI images.
//!
//! Every path of an archive is walked inside the tree, where `/` is the tree's root and links lead wherever they
//! lead inside it; one with `..` is refused. Owners, modes, times, extended attributes, devices and hard links
//! are kept.
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use tar::{Archive, EntryType};

use super::TransferError;
use super::remove::remove_tree;
use super::rooted::{Blocked, Place};

mod entry;

use entry::Meta;

/// Removes what lower layers have of this name (OCI image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// Removes all that lower layers have in the directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names with this start are of old union file systems, and mean nothing.
const ANCIENT: &[u8] = b".wh..wh.";

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole tree: every name is a name.
    Tree,
    /// A layer over what is there already: some names remove others.
    Layer,
}

/// Unpacks the tar archive that `from` reads into the directory `rootfs`; `name` is it in messages.
///
/// # Errors
/// The archive is damaged or leads out of the tree, or something cannot be made. What was made until then stays.
pub fn unpack(from: impl Read, name: &Path, rootfs: &Path, kind: Kind) -> Result<(), TransferError> {
    let root = Place::root(rootfs).map_err(|e| TransferError::io("open", rootfs, e))?;
    let mut unpacking = Unpacking {
        name,
        rootfs,
        kind,
        nearest: (OsString::new(), root.clone()),
        root,
        unpacked: HashSet::new(),
        directories: Vec::new(),
    };
    let mut archive = Archive::new(from);
    let damaged = |error| TransferError::Archive { path: name.to_owned(), source: error };
    for entry in archive.entries().map_err(damaged)? {
        unpacking.entry(entry.map_err(damaged)?)?;
    }
    // Directories get their times last, when nothing in them changes any more.
    unpacking.directories.iter().rev().try_for_each(|(place, meta)| {
        meta.set_time(place).map_err(|e| TransferError::io("set the time of", unpacking.host(place, None), e))
    })
}

struct Unpacking<'a> {
    name: &'a Path,
    rootfs: &'a Path,
    kind: Kind,
    root: Place,
    /// The directory of the last entry, as the archive calls it: the next one is mostly in the same.
    nearest: (OsString, Place),
    /// What this layer has made: its whiteouts are for lower ones.
    unpacked: HashSet<PathBuf>,
    directories: Vec<(PathBuf, Meta)>,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), TransferError> {
        let path = OsStr::from_bytes(&entry.path_bytes()).to_owned();
        let damaged = |error| TransferError::Archive { path: self.name.to_owned(), source: error };
        let meta = Meta::of(&mut entry).map_err(damaged)?;
        let Some((dir, name)) = self.split(&path)? else {
            // The root itself.
            let root = self.root.clone();
            return self.finish_directory(root, meta);
        };
        let parent = self.reach(&dir)?;
        if self.kind == Kind::Layer && name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(&parent, &name);
        }
        self.make(&mut entry, &parent, &name, meta)?;
        if self.kind == Kind::Layer {
            self.unpacked.insert(parent.path().join(&name));
        }
        Ok(())
    }

    fn make<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        parent: &Place,
        name: &OsStr,
        meta: Meta,
    ) -> Result<(), TransferError> {
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XGlobalHeader => return Ok(()),
            EntryType::Directory => {
                let place = self.directory(parent, name)?;
                return self.finish_directory(place, meta);
            }
            EntryType::Link => return self.hard_link(entry, parent, name),
            _ => self.clear(parent, name)?,
        }
        let made = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                meta.file(entry, parent, name)
            }
            EntryType::Symlink => meta.link(entry, parent, name),
            EntryType::Char | EntryType::Block | EntryType::Fifo => meta.node(entry, parent, name),
            other => {
                let why = format!(
                    "{}: entries of type {other:?} are not understood",
                    parent.path().join(name).display()
                );
                let source = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
                return Err(TransferError::Archive { path: self.name.to_owned(), source });
            }
        };
        made.map_err(|e| self.unwritten(parent, name, e))
    }

    /// The directory `name`, made if it is missing, in place of anything else.
    fn directory(&mut self, parent: &Place, name: &OsStr) -> Result<Place, TransferError> {
        match parent.open_child(name) {
            Ok(place) => return Ok(place),
            Err(Errno::ENOENT) => {}
            Err(_) => self.clear(parent, name)?,
        }
        entry::make_directory(parent, name).map_err(|e| self.unwritten(parent, name, e))?;
        parent.open_child(name).map_err(|e| self.unwritten(parent, name, e.into()))
    }

    fn finish_directory(&mut self, place: Place, meta: Meta) -> Result<(), TransferError> {
        meta.own_directory(&place)
            .map_err(|e| TransferError::io("write", self.host(&place.path(), None), e))?;
        self.directories.push((self.host(&place.path(), None), meta));
        Ok(())
    }

    fn hard_link<R: Read>(
        &mut self,
        entry: &tar::Entry<'_, R>,
        parent: &Place,
        name: &OsStr,
    ) -> Result<(), TransferError> {
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        let Some((dir, first)) = self.split(OsStr::from_bytes(&target))? else {
            return Err(self.outside(OsStr::from_bytes(&target)));
        };
        let first_parent = self.reach(&dir)?;
        if (first_parent.path(), &*first) == (parent.path(), name) {
            return Ok(());
        }
        self.clear(parent, name)?;
        nix::unistd::linkat(first_parent.dir(), &*first, parent.dir(), name, AtFlags::empty())
            .map_err(|e| self.unwritten(parent, name, e.into()))
    }

    fn whiteout(&mut self, parent: &Place, name: &OsStr) -> Result<(), TransferError> {
        let bytes = name.as_bytes();
        if bytes == OPAQUE {
            for name in entry::names(parent).map_err(|e| self.unwritten(parent, OsStr::new(""), e))? {
                self.remove_lower(parent, &name)?;
            }
            return Ok(());
        }
        if bytes.starts_with(ANCIENT) {
            return Ok(());
        }
        match OsStr::from_bytes(&bytes[WHITEOUT.len()..]) {
            hidden if hidden.is_empty() || hidden == "." || hidden == ".." => Err(self.outside(name)),
            hidden => self.remove_lower(parent, hidden),
        }
    }

    /// Removes what this layer has not made itself.
    fn remove_lower(&mut self, parent: &Place, name: &OsStr) -> Result<(), TransferError> {
        let path = parent.path().join(name);
        if self.unpacked.iter().any(|made| made.starts_with(&path)) {
            return Ok(());
        }
        self.clear(parent, name)
    }

    /// Removes whatever has this name.
    fn clear(&mut self, parent: &Place, name: &OsStr) -> Result<(), TransferError> {
        if matches!(fstatat(parent.dir(), name, AtFlags::AT_SYMLINK_NOFOLLOW), Err(Errno::ENOENT)) {
            return Ok(());
        }
        // Where it led to may have been kept.
        self.nearest = (OsString::new(), self.root.clone());
        let gone = parent.path().join(name);
        let host = self.host(&gone, None);
        self.directories.retain(|(dir, _)| !dir.starts_with(&host));
        remove_tree(&host)
    }

    /// The directory that `dir` leads to; what is missing of it is made.
    fn reach(&mut self, dir: &OsStr) -> Result<Place, TransferError> {
        if self.nearest.0 != dir {
            let place = self.root.walk(dir, &mut |parent, name| entry::make_directory(parent, name));
            let place = place.map_err(|why| self.blocked(dir, why))?;
            self.nearest = (dir.to_owned(), place);
        }
        Ok(self.nearest.1.clone())
    }

    /// Directory and name, without empty and `.` parts; `None` for the root.
    fn split(&self, path: &OsStr) -> Result<Option<(OsString, OsString)>, TransferError> {
        let parts = path.as_bytes().split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
        let mut parts: Vec<&[u8]> = parts.collect();
        if parts.contains(&&b".."[..]) || path.as_bytes().contains(&0) {
            return Err(self.outside(path));
        }
        let Some(name) = parts.pop() else { return Ok(None) };
        let owned = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        Ok(Some((owned(&parts.join(&b'/')), owned(name))))
    }

    fn outside(&self, path: &OsStr) -> TransferError {
        let why = format!("{}: it leads out of the archive", path.to_string_lossy());
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
        TransferError::Archive { path: self.name.to_owned(), source }
    }

    fn blocked(&self, dir: &OsStr, why: Blocked) -> TransferError {
        TransferError::io("reach", self.host(Path::new(dir), None), std::io::Error::other(why.to_string()))
    }

    fn unwritten(&self, parent: &Place, name: &OsStr, error: std::io::Error) -> TransferError {
        TransferError::io("write", self.host(&parent.path(), Some(name)), error)
    }

    /// Where a path of the tree lies on the host.
    fn host(&self, path: &Path, name: Option<&OsStr>) -> PathBuf {
        let mut host = self.rootfs.join(path.strip_prefix("/").unwrap_or(path));
        host.extend(name.filter(|name| !name.is_empty()));
        host
    }
}

#[cfg(test)]
mod tests;
