//! One item of a `copy`: a file, a link, or a directory with all that was listed in it.
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fchmod, fstat, fstatat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, read, symlinkat, unlinkat, write};
use sha2::{Digest as _, Sha256};

use super::super::TransferError;
use super::super::interrupt;
use super::super::rooted::{Blocked, Place};
use super::CopyPlan;
use super::destination::{blocked, make_directory, own_directory, shown};
use crate::step::manifest::Manifest;

const BUFFER: usize = 256 * 1024;

pub(super) struct Copying<'a> {
    plan: &'a CopyPlan<'a>,
    source: Place,
    buffer: Vec<u8>,
}

/// Where an object comes from, and where it goes.
#[derive(Clone, Copy)]
struct Move<'a> {
    /// Below the source root.
    path: &'a OsStr,
    from: &'a Place,
    to: &'a Place,
    name: &'a OsStr,
}

impl<'a> Copying<'a> {
    pub(super) fn new(plan: &'a CopyPlan<'a>, source: Place) -> Self {
        Self { plan, source, buffer: vec![0; BUFFER] }
    }

    /// Puts `item` into `place` under its own name; the source root has none, so what is in it goes there.
    pub(super) fn put_into(&mut self, item: &Manifest, place: &Place) -> Result<(), TransferError> {
        let path = path_of(item);
        match base_name(path) {
            Some(name) => self.put_as(item, place, name),
            None if path.is_empty() => self.put_into_or_merge(item, place),
            None => Err(TransferError::Outside { path: self.plan.source.join(path) }),
        }
    }

    /// Puts a file into `place`, or what a directory holds.
    pub(super) fn put_into_or_merge(&mut self, item: &Manifest, place: &Place) -> Result<(), TransferError> {
        let Manifest::Dir { path, children } = item else { return self.put_into(item, place) };
        let from = self.source_directory(path)?;
        self.fill(children, &from, place)
    }

    /// Puts what the directory `item` holds into `place`, which was made for it and takes its time.
    pub(super) fn become_directory(&mut self, item: &Manifest, place: &Place) -> Result<(), TransferError> {
        let Manifest::Dir { path, children } = item else { return self.put_into(item, place) };
        let from = self.source_directory(path)?;
        self.fill(children, &from, place)?;
        let stat = fstat(from.dir()).map_err(|e| self.unread(path, e))?;
        self.set_time(place, &stat)
    }

    /// Puts `item` into `place` as `name`.
    pub(super) fn put_as(
        &mut self,
        item: &Manifest,
        place: &Place,
        name: &OsStr,
    ) -> Result<(), TransferError> {
        let path = path_of(item);
        let from = match Path::new(path).parent() {
            Some(parent) => self.source_directory(parent.as_os_str())?,
            None => self.source.clone(),
        };
        self.put(item, Move { path, from: &from, to: place, name })
    }

    fn put(&mut self, item: &Manifest, this: Move<'_>) -> Result<(), TransferError> {
        interrupt::check().map_err(|e| self.unread(this.path, e))?;
        match item {
            Manifest::File { sha256, .. } => self.file(sha256, this),
            Manifest::Symlink { target, .. } => self.link(target, this),
            Manifest::Dir { children, .. } => self.directory(children, this),
        }
    }

    fn fill(&mut self, children: &[Manifest], from: &Place, to: &Place) -> Result<(), TransferError> {
        for child in children {
            let path = path_of(child);
            let Some(name) = base_name(path) else { continue };
            self.put(child, Move { path, from, to, name })?;
        }
        Ok(())
    }

    fn directory(&mut self, children: &[Manifest], this: Move<'_>) -> Result<(), TransferError> {
        let from = match base_name(this.path) {
            Some(name) => self.enter_source(this.from, name, this.path)?,
            None => this.from.clone(),
        };
        let stat = fstat(from.dir()).map_err(|e| self.unread(this.path, e))?;
        if let Some(existing) = self.existing_directory(this)? {
            let before = fstat(existing.dir()).map_err(|e| self.unwritten(this, e))?;
            self.fill(children, &from, &existing)?;
            return self.set_time(&existing, &before);
        }
        let made = self.creating(this, |this| make_directory(this.to, this.name))?;
        self.fill(children, &from, &made)?;
        own_directory(&made, self.plan.owner).map_err(|e| self.unwritten(this, e))?;
        self.set_time(&made, &stat)
    }

    /// The directory that is at the destination already, or that a link there leads to inside the tree.
    fn existing_directory(&self, this: Move<'_>) -> Result<Option<Place>, TransferError> {
        match this.to.walk(this.name, &mut |_, _| Err(Errno::ENOENT.into())) {
            Ok(place) => Ok(Some(place)),
            Err(Blocked::NotADirectory(_) | Blocked::LinkLoop) => Ok(None),
            Err(Blocked::Io(_, error)) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(other) => Err(blocked(self.plan, other)),
        }
    }

    fn file(&mut self, sha256: &str, this: Move<'_>) -> Result<(), TransferError> {
        let name = base_name(this.path).unwrap_or_default();
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let from =
            openat(this.from.dir(), name, flags, Mode::empty()).map_err(|e| self.unread(this.path, e))?;
        let stat = fstat(&from).map_err(|e| self.unread(this.path, e))?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(self.changed(this.path));
        }
        let to = self.creating(this, |this| {
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            Ok(openat(this.to.dir(), this.name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?)
        })?;
        if self.bytes(&from, &to, this)? != sha256 {
            return Err(self.changed(this.path));
        }
        let runnable = stat.st_mode & libc::S_IXUSR != 0;
        let mode = Mode::from_bits_truncate(if runnable { 0o755 } else { 0o644 });
        let (uid, gid) = self.owner();
        let settle = || {
            fchown(&to, Some(uid), Some(gid))?;
            fchmod(&to, mode)?;
            futimens(&to, &TimeSpec::UTIME_OMIT, &mtime(&stat))
        };
        settle().map_err(|e: Errno| self.unwritten(this, e))
    }

    /// Copies the bytes and gives their SHA-256: of what was written, whatever the source does meanwhile.
    fn bytes(&mut self, from: &OwnedFd, to: &OwnedFd, this: Move<'_>) -> Result<String, TransferError> {
        let mut hash = Sha256::new();
        loop {
            interrupt::check().map_err(|e| self.unread(this.path, e))?;
            let count = read(from, &mut self.buffer).map_err(|e| self.unread(this.path, e))?;
            if count == 0 {
                return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
            }
            let mut rest = &self.buffer[..count];
            hash.update(rest);
            while !rest.is_empty() {
                let written = write(to.as_fd(), rest).map_err(|e| self.unwritten(this, e))?;
                rest = &rest[written..];
            }
        }
    }

    fn link(&mut self, target: &OsString, this: Move<'_>) -> Result<(), TransferError> {
        let name = base_name(this.path).unwrap_or_default();
        let from = this.from.dir();
        let stat =
            fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|e| self.unread(this.path, e))?;
        match readlinkat(from, name) {
            Ok(now) if now == *target => {}
            Ok(_) | Err(Errno::EINVAL | Errno::ENOENT) => return Err(self.changed(this.path)),
            Err(error) => return Err(self.unread(this.path, error)),
        }
        self.creating(this, |this| Ok(symlinkat(target.as_os_str(), this.to.dir(), this.name)?))?;
        let (uid, gid) = self.owner();
        let (dir, name) = (this.to.dir(), this.name);
        fchownat(dir, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .and_then(|()| {
                let flag = UtimensatFlags::NoFollowSymlink;
                utimensat(dir, name, &TimeSpec::UTIME_OMIT, &mtime(&stat), flag)
            })
            .map_err(|e| self.unwritten(this, e))
    }

    /// Creates something at the destination, in the place of a file or link that is there.
    fn creating<T>(
        &self,
        this: Move<'_>,
        create: impl Fn(Move<'_>) -> io::Result<T>,
    ) -> Result<T, TransferError> {
        let mut made = create(this);
        if matches!(&made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            match unlinkat(this.to.dir(), this.name, UnlinkatFlags::NoRemoveDir) {
                Err(Errno::EISDIR | Errno::EPERM) => {
                    return Err(TransferError::OverDirectory { path: this.to.path().join(this.name) });
                }
                other => other.map_err(|e| self.unwritten(this, e))?,
            }
            made = create(this);
        }
        made.map_err(|e| self.unwritten(this, e))
    }

    /// The directory `path` of the source tree, without following any link.
    fn source_directory(&self, path: &OsStr) -> Result<Place, TransferError> {
        let mut place = self.source.clone();
        for part in Path::new(path).components() {
            let Component::Normal(name) = part else {
                return Err(TransferError::Outside { path: self.plan.source.join(path) });
            };
            place = self.enter_source(&place, name, path)?;
        }
        Ok(place)
    }

    fn enter_source(&self, from: &Place, name: &OsStr, path: &OsStr) -> Result<Place, TransferError> {
        match from.open_child(name) {
            Ok(place) => Ok(place),
            Err(Errno::ELOOP | Errno::ENOTDIR) if readlinkat(from.dir(), name).is_ok() => {
                let inside = from.path().join(name);
                let link = inside.strip_prefix("/").unwrap_or(&inside).to_owned();
                Err(TransferError::ThroughLink {
                    path: self.plan.source.join(path),
                    link: self.plan.source.join(link),
                })
            }
            Err(error) => Err(self.unread(path, error)),
        }
    }

    fn set_time(&self, place: &Place, stat: &FileStat) -> Result<(), TransferError> {
        futimens(place.dir(), &TimeSpec::UTIME_OMIT, &mtime(stat))
            .map_err(|e| TransferError::io("set the time of", shown(self.plan, place), e))
    }

    fn owner(&self) -> (Uid, Gid) {
        (Uid::from_raw(self.plan.owner.0), Gid::from_raw(self.plan.owner.1))
    }

    /// What is gone or has become something else since it was listed has changed; the rest are plain errors.
    fn unread(&self, path: &OsStr, error: impl Into<io::Error>) -> TransferError {
        let error = error.into();
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => self.changed(path),
            _ => TransferError::io("read", self.plan.source.join(path), error),
        }
    }

    fn unwritten(&self, this: Move<'_>, error: impl Into<io::Error>) -> TransferError {
        TransferError::io("write", shown(self.plan, this.to).join(this.name), error)
    }

    fn changed(&self, path: &OsStr) -> TransferError {
        TransferError::Changed { path: source_path(self.plan.source, path) }
    }
}

/// `join` would end the root itself in `/`.
fn source_path(root: &Path, path: &OsStr) -> PathBuf {
    if path.is_empty() { root.to_owned() } else { root.join(path) }
}

fn path_of(item: &Manifest) -> &OsStr {
    match item {
        Manifest::File { path, .. } | Manifest::Symlink { path, .. } | Manifest::Dir { path, .. } => path,
    }
}

fn base_name(path: &OsStr) -> Option<&OsStr> {
    Path::new(path).file_name()
}

fn mtime(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}
