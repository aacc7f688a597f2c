//! The scoreboard: a directory of symlinks, `<scoreboard>/<uid>` → that user's home.
//!
//! It is the whole protocol between whoever assigns homes and the file system that serves them, so
//! `ln -sfn HOME SCOREBOARD/UID` in a shell speaks it too. A reader sees the old home or the new one, never
//! neither, and a replaced link is a new view even when it points at the same path.
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fstat, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

/// A checked scoreboard directory, held open.
#[derive(Debug)]
pub struct Scoreboard {
    path: PathBuf,
    dir: OwnedFd,
}

/// A user's link as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which link it is: another one under the same name has another identity.
    pub identity: LinkIdentity,
    /// Where it points, as written.
    pub target: PathBuf,
}

/// Tells a link from the one that replaces it: device, inode, and the times of change and of modification in
/// ns. `rename` renews the first; [`Scoreboard::publish`] sets the second, for before Linux 6.13 the first moves
/// in steps of a timer tick and an inode number comes back sooner than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkIdentity {
    dev: u64,
    ino: u64,
    changed: i128,
    modified: i128,
}

/// Why a scoreboard cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScoreboardError {
    /// A system call failed on `path`.
    #[error("scoreboard {}: {what}: {}", path.display(), source.desc())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The path it was done to.
        path: PathBuf,
        /// The system's answer.
        source: Errno,
    },
    /// It is no directory.
    #[error("scoreboard {} is not a directory; give a directory of links named by uid", .0.display())]
    NotADirectory(PathBuf),
    /// Somebody else could put links into it, or another directory in its place.
    #[error(
        "scoreboard {}: {} {why}, so others could redirect users; run: {fix}",
        scoreboard.display(),
        path.display()
    )]
    Unsafe {
        /// The scoreboard asked for.
        scoreboard: PathBuf,
        /// The directory that is at fault: the scoreboard or one above it.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// A command that mends it.
        fix: String,
    },
}

impl ScoreboardError {
    fn io(what: &'static str, path: &Path, source: Errno) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    /// The errno that fits the error.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Io { source, .. } => *source,
            Self::NotADirectory(_) => Errno::ENOTDIR,
            Self::Unsafe { .. } => Errno::EPERM,
        }
    }
}

impl Scoreboard {
    /// Opens an existing scoreboard and checks that only root (or the calling user) can change it.
    ///
    /// # Errors
    /// It is missing, not a directory, writable by others, or could be renamed away by others.
    pub fn open(path: &Path) -> Result<Self, ScoreboardError> {
        refuse_foreign_links(path)?;
        let canonical =
            path.canonicalize().map_err(|e| ScoreboardError::io("cannot be opened", path, errno_of(&e)))?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let dir = open(&canonical, flags, Mode::empty())
            .map_err(|e| ScoreboardError::io("cannot be opened", &canonical, e))?;
        let board = Self { path: canonical, dir };
        if !is_dir(board.stat()?.st_mode) {
            return Err(ScoreboardError::NotADirectory(board.path));
        }
        board.check()?;
        Ok(board)
    }

    /// Makes the directory (mode 0755) if it is missing, then opens it.
    ///
    /// # Errors
    /// As [`Scoreboard::open`], or it cannot be made.
    pub fn create(path: &Path) -> Result<Self, ScoreboardError> {
        refuse_foreign_links(path)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(|e| ScoreboardError::io("cannot be made", path, errno_of(&e)))?;
        Self::open(path)
    }

    /// The canonical path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Checks owner and mode again: the directory itself, and that none above it lets others replace it.
    /// The sticky bit saves a directory that others may write (`/tmp`): they cannot rename or remove what is
    /// not theirs there, and links that are not root's (or ours) do not count.
    ///
    /// # Errors
    /// [`ScoreboardError::Unsafe`] names the directory and what is wrong with it.
    pub fn check(&self) -> Result<(), ScoreboardError> {
        let stat = self.stat()?;
        // 16 bits wide on macOS.
        #[allow(clippy::useless_conversion)]
        let mode = u32::from(stat.st_mode);
        self.check_directory(&self.path, stat.st_uid, mode)?;
        for above in self.path.ancestors().skip(1) {
            let meta = fs::symlink_metadata(above)
                .map_err(|e| ScoreboardError::io("cannot be checked", above, errno_of(&e)))?;
            self.check_directory(above, meta.uid(), meta.mode())?;
        }
        Ok(())
    }

    fn check_directory(&self, path: &Path, uid: u32, mode: u32) -> Result<(), ScoreboardError> {
        let unsafe_because = |why: String, fix: String| ScoreboardError::Unsafe {
            scoreboard: self.path.clone(),
            path: path.to_owned(),
            why,
            fix,
        };
        if !is_trusted(uid) {
            let fix = format!("chown root {}", path.display());
            return Err(unsafe_because(format!("belongs to uid {uid}, not to root"), fix));
        }
        let sticky = mode & 0o1000 != 0;
        if mode & 0o022 != 0 && !sticky {
            let fix = format!("chmod go-w {}", path.display());
            return Err(unsafe_because(format!("is writable by others (mode {:04o})", mode & 0o7777), fix));
        }
        Ok(())
    }

    fn stat(&self) -> Result<FileStat, ScoreboardError> {
        fstat(&self.dir).map_err(|e| ScoreboardError::io("cannot be checked", &self.path, e))
    }

    /// Gives `uid` the home `home` (absolute), in place of what it had. Atomic.
    ///
    /// # Errors
    /// The link cannot be made.
    pub fn publish(&self, uid: u32, home: &Path) -> Result<(), ScoreboardError> {
        let name = uid.to_string();
        let temporary = format!(".{uid}.{}", std::process::id());
        let path = self.path.join(&name);
        let _ = unlinkat(&self.dir, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        symlinkat(home, &self.dir, temporary.as_str())
            .map_err(|e| ScoreboardError::io("cannot make a link", &path, e))?;
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map(TimeSpec::from).unwrap_or(TimeSpec::UTIME_NOW);
        let _ = utimensat(&self.dir, temporary.as_str(), &now, &now, UtimensatFlags::NoFollowSymlink);
        renameat(&self.dir, temporary.as_str(), &self.dir, name.as_str()).map_err(|e| {
            let _ = unlinkat(&self.dir, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
            ScoreboardError::io("cannot put a link in place", &path, e)
        })
    }

    /// Takes `uid`'s home away; it is no error if it had none.
    ///
    /// # Errors
    /// The link cannot be removed.
    pub fn retract(&self, uid: u32) -> Result<(), ScoreboardError> {
        let name = uid.to_string();
        match unlinkat(&self.dir, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(ScoreboardError::io("cannot remove a link", &self.path.join(name), e)),
        }
    }

    /// Takes `uid`'s home away, with what publishers of it that were killed left. Not while one publishes.
    ///
    /// # Errors
    /// The directory cannot be listed, or a link not be removed.
    pub fn clear(&self, uid: u32) -> Result<(), ScoreboardError> {
        let temporary = format!(".{uid}.");
        let entries = fs::read_dir(&self.path)
            .map_err(|e| ScoreboardError::io("cannot be listed", &self.path, errno_of(&e)))?;
        for name in entries.flatten().map(|entry| entry.file_name()) {
            if name.as_encoded_bytes().starts_with(temporary.as_bytes()) {
                let _ = unlinkat(&self.dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
            }
        }
        self.retract(uid)
    }

    /// Which link `uid` has now; `None` without one, or if it is neither root's nor ours. One system call.
    ///
    /// # Errors
    /// The entry is no symlink, or cannot be read.
    pub fn identity(&self, uid: u32) -> Result<Option<LinkIdentity>, ScoreboardError> {
        let name = uid.to_string();
        match fstatat(&self.dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if !is_trusted(stat.st_uid) => Ok(None),
            Ok(stat) if is_symlink(stat.st_mode) => Ok(Some(LinkIdentity::of(&stat))),
            Ok(_) => Err(ScoreboardError::io("is not a symlink", &self.path.join(name), Errno::EINVAL)),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(ScoreboardError::io("cannot be read", &self.path.join(name), e)),
        }
    }

    /// `uid`'s link; `None` without one.
    ///
    /// # Errors
    /// The entry is no symlink, or cannot be read.
    pub fn resolve(&self, uid: u32) -> Result<Option<Link>, ScoreboardError> {
        let name = uid.to_string();
        loop {
            let Some(before) = self.identity(uid)? else { return Ok(None) };
            let target = match readlinkat(&self.dir, name.as_str()) {
                Ok(target) => PathBuf::from(target),
                Err(Errno::ENOENT) => continue,
                Err(e) => return Err(ScoreboardError::io("cannot be read", &self.path.join(name), e)),
            };
            // A link replaced between the two calls must not lend its identity to the other's target.
            if self.identity(uid)? == Some(before) {
                return Ok(Some(Link { identity: before, target }));
            }
        }
    }

    /// The uids that have a link now, in no order. Other names are passed over.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn uids(&self) -> Result<Vec<u32>, ScoreboardError> {
        let entries = fs::read_dir(&self.path)
            .map_err(|e| ScoreboardError::io("cannot be listed", &self.path, errno_of(&e)))?;
        Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
    }
}

impl LinkIdentity {
    // The fields' widths differ between the systems.
    #[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
    fn of(stat: &FileStat) -> Self {
        let ns = |seconds, nanoseconds| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            changed: ns(stat.st_ctime, stat.st_ctime_nsec),
            modified: ns(stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

/// A link on the way that is somebody else's could lead anywhere, and elsewhere tomorrow.
fn refuse_foreign_links(path: &Path) -> Result<(), ScoreboardError> {
    for part in path.ancestors() {
        let Ok(meta) = fs::symlink_metadata(part) else { continue };
        if meta.is_symlink() && !is_trusted(meta.uid()) {
            return Err(ScoreboardError::Unsafe {
                scoreboard: path.to_owned(),
                path: part.to_owned(),
                why: format!("is a link of uid {}, not of root", meta.uid()),
                fix: format!("rm {}", part.display()),
            });
        }
    }
    Ok(())
}

/// Root, or the user who runs this.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

#[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
fn is_dir(mode: libc::mode_t) -> bool {
    mode & libc::S_IFMT == libc::S_IFDIR
}

#[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
fn is_symlink(mode: libc::mode_t) -> bool {
    mode & libc::S_IFMT == libc::S_IFLNK
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests;
