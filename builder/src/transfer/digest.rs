//! A name for all that a tree holds: the same for two trees only if they are the same.
use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::sys::uio::pread;
use sha2::{Digest, Sha256};

use super::TransferError;
use super::clone::attributes;
use super::descent::{DIRECTORY, Descent, Entry, entries, lstat};

const BUFFER: usize = 128 * 1024;

/// SHA-256, in hexadecimal digits, of the names, kinds, bytes, owners, modes, times of change, extended attributes
/// (but those of links) and hard links of the tree `root`.
///
/// # Errors
/// Something cannot be read: the error names it.
pub fn digest(root: &Path) -> Result<String, TransferError> {
    let failed = |error: io::Error| TransferError::io("read", root, error);
    let fd =
        open(root, DIRECTORY.difference(OFlag::O_NOFOLLOW), Mode::empty()).map_err(|e| failed(e.into()))?;
    let mut reading = Reading {
        root,
        path: Vec::new(),
        tree: Descent::new(fd),
        frames: Vec::new(),
        first: HashMap::new(),
        hash: Sha256::new(),
        buffer: vec![0; BUFFER],
    };
    reading.directory(0)?;
    reading.run()?;
    Ok(reading.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Reading<'a> {
    root: &'a Path,
    /// Of the directory being read, below the root.
    path: Vec<u8>,
    tree: Descent,
    /// What is left of each directory, and the length of the path above it.
    frames: Vec<(IntoIter<Entry>, usize)>,
    /// The first name of each file with several.
    first: HashMap<(libc::dev_t, libc::ino_t), Vec<u8>>,
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Reading<'_> {
    fn run(&mut self) -> Result<(), TransferError> {
        while let Some((rest, parent_len)) = self.frames.last_mut() {
            match rest.next() {
                Some(entry) => self.entry(&entry.name)?,
                None => {
                    let parent_len = *parent_len;
                    self.frames.pop();
                    self.path.truncate(parent_len);
                    self.tree.leave().map_err(|e| self.failed(c"", e))?;
                }
            }
        }
        Ok(())
    }

    /// Takes in the directory that the walk is in, and begins with its entries, by name.
    fn directory(&mut self, parent_len: usize) -> Result<(), TransferError> {
        let here = self.tree.here();
        let stat = fstat(here).map_err(|e| self.failed(c"", e))?;
        let mut found = entries(here).map_err(|e| self.failed(c"", e))?;
        let attributes = attributes(here).map_err(|e| self.failed(c"", e))?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        self.facts(&stat);
        self.attributes(attributes);
        self.frames.push((found.into_iter(), parent_len));
        Ok(())
    }

    fn entry(&mut self, name: &CStr) -> Result<(), TransferError> {
        let stat = lstat(self.tree.here(), name).map_err(|e| self.failed(name, e))?;
        let parent_len = self.path.len();
        self.path.push(b'/');
        self.path.extend_from_slice(name.to_bytes());
        self.hash.update(&self.path);
        self.hash.update([0]);
        let kind = stat.st_mode & libc::S_IFMT;
        if kind == libc::S_IFDIR {
            let child =
                openat(self.tree.here(), name, DIRECTORY, Mode::empty()).map_err(|e| self.failed(c"", e))?;
            self.tree.enter(child).map_err(|e| self.failed(c"", e))?;
            return self.directory(parent_len);
        }
        self.facts(&stat);
        let read = match kind {
            _ if self.is_known(&stat) => Ok(()),
            libc::S_IFREG => self.file(name, &stat),
            libc::S_IFLNK => readlinkat(self.tree.here(), name)
                .map(|goal| self.hash.update(goal.as_bytes()))
                .map_err(io::Error::from),
            _ => Ok(()),
        };
        self.path.truncate(parent_len);
        read.map_err(|e| self.failed(name, e))
    }

    /// Whether the file is in under another name already; then that is all there is to say.
    fn is_known(&mut self, stat: &FileStat) -> bool {
        if stat.st_nlink <= 1 {
            return false;
        }
        match self.first.get(&(stat.st_dev, stat.st_ino)) {
            Some(first) => {
                self.hash.update(first);
                true
            }
            None => {
                self.first.insert((stat.st_dev, stat.st_ino), self.path.clone());
                false
            }
        }
    }

    fn file(&mut self, name: &CStr, stat: &FileStat) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(self.tree.here(), name, flags, Mode::empty())?;
        self.attributes(attributes(file.as_fd())?);
        self.hash.update(stat.st_size.to_le_bytes());
        self.bytes(file.as_fd())
    }

    fn bytes(&mut self, file: BorrowedFd<'_>) -> io::Result<()> {
        let mut offset = 0_i64;
        loop {
            let got = pread(file, &mut self.buffer, offset)?;
            if got == 0 {
                return Ok(());
            }
            self.hash.update(&self.buffer[..got]);
            offset += i64::try_from(got).map_err(io::Error::other)?;
        }
    }

    fn facts(&mut self, stat: &FileStat) {
        // Their sizes differ between systems, so they are written as text.
        let (mode, owner, device) = (stat.st_mode, (stat.st_uid, stat.st_gid), stat.st_rdev);
        let time = (stat.st_mtime, stat.st_mtime_nsec);
        self.hash.update(format!("{mode} {owner:?} {device} {time:?}\0"));
    }

    fn attributes(&mut self, attributes: impl IntoIterator<Item = (std::ffi::OsString, Vec<u8>)>) {
        for (name, value) in attributes {
            for part in [name.as_bytes(), value.as_slice()] {
                self.hash.update(part.len().to_le_bytes());
                self.hash.update(part);
            }
        }
        self.hash.update([0xff]);
    }

    fn failed(&self, name: &CStr, error: impl Into<io::Error>) -> TransferError {
        let mut path = PathBuf::from(self.root);
        let below = self.path.strip_prefix(b"/").unwrap_or(&self.path);
        for part in [below, name.to_bytes()] {
            if !part.is_empty() {
                path.push(OsStr::from_bytes(part));
            }
        }
        TransferError::io("read", path, error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::clone::clone_tree;
    use super::*;

    /// Changes one thing in a tree.
    type Change = fn(&Path);

    #[test]
    fn two_trees_have_one_digest_only_if_they_are_the_same() {
        let temp = TempDir::new().unwrap();
        let (one, other) = (temp.path().join("one"), temp.path().join("other"));
        fs::create_dir_all(one.join("dir/sub")).unwrap();
        fs::write(one.join("dir/file"), "x").unwrap();
        fs::hard_link(one.join("dir/file"), one.join("again")).unwrap();
        std::os::unix::fs::symlink("goal", one.join("link")).unwrap();
        let changes: [Change; 6] = [
            |tree| fs::write(tree.join("dir/file"), "y").unwrap(),
            |tree| fs::rename(tree.join("dir/sub"), tree.join("dir/bus")).unwrap(),
            |tree| xattr::set(tree.join("dir"), "user.colour", b"red").unwrap(),
            |tree| fs::remove_file(tree.join("link")).unwrap(),
            |tree| {
                fs::remove_file(tree.join("again")).unwrap();
                fs::copy(tree.join("dir/file"), tree.join("again")).unwrap();
            },
            |tree| {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(tree.join("dir/file"), mode).unwrap();
            },
        ];
        for change in changes {
            clone_tree(&one, &other, None).unwrap();
            assert_eq!(digest(&other).unwrap(), digest(&one).unwrap());
            change(&other);
            assert_ne!(digest(&other).unwrap(), digest(&one).unwrap());
            super::super::remove::remove_tree(&other).unwrap();
        }
    }
}
