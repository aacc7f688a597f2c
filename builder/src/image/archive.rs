//! An image as one file: a tar archive with all that a clone keeps (owners, modes, times in seconds, links, attributes).
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::ImageError;

/// How archives name extended attributes (star(1), PAX).
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// Writes the tree `dir` to `to`. Sockets are left out.
///
/// # Errors
/// Something cannot be read, or `to` cannot be written.
pub fn write(dir: &Path, to: impl Write) -> Result<(), ImageError> {
    let mut archiving = Archiving { root: dir, tar: Builder::new(to), first: HashMap::new() };
    archiving.add(Path::new("."))?;
    archiving.tar.finish().map_err(ImageError::io("archive", dir))
}

struct Archiving<'a, W: Write> {
    root: &'a Path,
    tar: Builder<W>,
    /// The first name of each file that has several.
    first: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Archiving<'_, W> {
    fn add(&mut self, path: &Path) -> Result<(), ImageError> {
        // Not recursion: trees may be deep.
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            let from = self.root.join(&path);
            let meta = fs::symlink_metadata(&from).map_err(ImageError::io("read", &from))?;
            self.entry(&path, &from, &meta).map_err(ImageError::io("archive", &from))?;
            if meta.is_dir() {
                let names = fs::read_dir(&from).and_then(|dir| {
                    dir.map(|entry| Ok(path.join(entry?.file_name()))).collect::<io::Result<Vec<_>>>()
                });
                let mut names = names.map_err(ImageError::io("read", &from))?;
                names.sort_by(|a, b| b.cmp(a));
                left.append(&mut names);
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, from: &Path, meta: &Metadata) -> io::Result<()> {
        if meta.file_type().is_socket() {
            return Ok(());
        }
        let mut header = header(meta);
        if meta.nlink() > 1 && !meta.is_dir() {
            let first = self.first.entry((meta.dev(), meta.ino())).or_insert_with(|| path.to_owned());
            if first != path {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                let first = first.clone();
                return self.tar.append_link(&mut header, path, first);
            }
        }
        self.attributes(from)?;
        if meta.is_symlink() {
            return self.tar.append_link(&mut header, path, fs::read_link(from)?);
        }
        if meta.is_file() {
            return self.tar.append_data(&mut header, path, File::open(from)?);
        }
        self.tar.append_data(&mut header, path, io::empty())
    }

    /// Attributes come before the entry they belong to.
    fn attributes(&mut self, from: &Path) -> io::Result<()> {
        let mut attributes = Vec::new();
        for name in xattr::list(from)? {
            // Those that are no text, and those that are gone meanwhile, are left out.
            if let (Some(text), Some(value)) = (name.to_str(), xattr::get(from, &name)?) {
                attributes.push((format!("{ATTRIBUTE}{text}"), value));
            }
        }
        let pairs = attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        self.tar.append_pax_extensions(pairs)
    }
}

fn header(meta: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    let kind = meta.file_type();
    header.set_entry_type(match kind {
        _ if kind.is_dir() => EntryType::Directory,
        _ if kind.is_symlink() => EntryType::Symlink,
        _ if kind.is_block_device() => EntryType::Block,
        _ if kind.is_char_device() => EntryType::Char,
        _ if kind.is_fifo() => EntryType::Fifo,
        _ => EntryType::Regular,
    });
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(meta.uid().into());
    header.set_gid(meta.gid().into());
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_size(if kind.is_file() { meta.len() } else { 0 });
    if kind.is_block_device() || kind.is_char_device() {
        // They fail only on headers of a kind that has no such fields.
        let _ = header.set_device_major(libc::major(meta.rdev() as _) as u32);
        let _ = header.set_device_minor(libc::minor(meta.rdev() as _) as u32);
    }
    header
}

/// A file that is there whole or not at all: written beside its place.
///
/// # Errors
/// Something is there already, or it cannot be written.
pub fn to_file(dir: &Path, file: &Path) -> Result<(), ImageError> {
    if fs::symlink_metadata(file).is_ok() {
        return Err(ImageError::Occupied(file.to_owned()));
    }
    let aside = beside(file);
    let written = File::create(&aside).map_err(ImageError::io("make", &aside)).and_then(|to| {
        let mut to = io::BufWriter::with_capacity(1 << 17, to);
        write(dir, &mut to)?;
        to.flush().map_err(ImageError::io("write", &aside))?;
        fs::rename(&aside, file).map_err(ImageError::io("make", file))
    });
    if written.is_err() {
        // There may be nothing to remove.
        let _ = fs::remove_file(&aside);
    }
    written
}

/// The name under which `path` is made.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = OsStr::from_bytes(b".").to_owned();
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::trees::{Content, facts, require_root};
    use crate::transfer::unpack::{Kind, unpack};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_is_written_is_unpacked_the_same() {
        if !require_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let deep = from.join("a".repeat(200)).join("b".repeat(200));
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(deep.join("file"), "x".repeat(100_000)).unwrap();
        fs::set_permissions(deep.join("file"), fs::Permissions::from_mode(0o4751)).unwrap();
        std::os::unix::fs::chown(deep.join("file"), Some(705), Some(706)).unwrap();
        fs::hard_link(deep.join("file"), from.join("again")).unwrap();
        symlink("t".repeat(300), from.join("link")).unwrap();
        symlink("nowhere", from.join(OsStr::from_bytes(b"odd \xff\n"))).unwrap();
        xattr::set(deep.join("file"), "user.quarantine", b"0\xff1").unwrap();
        write(&from, File::create(dir.path().join("tar")).unwrap()).unwrap();
        unpack(File::open(dir.path().join("tar")).unwrap(), Path::new("tar"), &to, Kind::Tree).unwrap();
        let whole_seconds = |tree: &Path| {
            let mut facts = facts(tree);
            for facts in facts.values_mut() {
                facts.mtime.1 = 0;
            }
            facts
        };
        assert_eq!(whole_seconds(&to), whole_seconds(&from));
        assert!(matches!(facts(&to)[Path::new("again")].content, Content::File(_)));
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over_and_nothing_half_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        assert!(to_file(Path::new("/no/such"), &file).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&file, "mine").unwrap();
        assert!(matches!(to_file(dir.path(), &file), Err(ImageError::Occupied(_))));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }
}
