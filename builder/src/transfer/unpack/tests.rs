//! Archives made entry by entry, kind ones and others.
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::{Kind, unpack};

struct Tar(Builder<Vec<u8>>);

impl Default for Tar {
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Tar {
    /// Names are written as they are, whatever they are.
    fn header(kind: EntryType, path: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_mtime(1_000_000_000);
        header.set_uid(u64::from(nix::unistd::geteuid().as_raw()));
        header.set_gid(u64::from(nix::unistd::getegid().as_raw()));
        header
    }

    fn add(mut self, mut header: Header, bytes: &[u8]) -> Self {
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn file(self, path: &str, bytes: &str) -> Self {
        self.add(Self::header(EntryType::Regular, path, bytes.len() as u64), bytes.as_bytes())
    }

    fn dir(self, path: &str) -> Self {
        self.add(Self::header(EntryType::Directory, path, 0), b"")
    }

    fn link(self, kind: EntryType, path: &str, goal: &str) -> Self {
        let mut header = Self::header(kind, path, 0);
        header.set_link_name_literal(goal).unwrap();
        self.add(header, b"")
    }

    fn unpack(self, rootfs: &Path, kind: Kind) -> Result<(), String> {
        let bytes = self.0.into_inner().unwrap();
        unpack(&bytes[..], Path::new("a.tar"), rootfs, kind).map_err(|error| error.to_string())
    }
}

fn tree() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let rootfs = dir.path().join("rootfs");
    fs::create_dir(&rootfs).unwrap();
    (dir, rootfs)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_directories_and_links_come_out_as_they_went_in() {
    let (_dir, rootfs) = tree();
    let mut set_id = Tar::header(EntryType::Regular, "bin/su", 1);
    set_id.set_mode(0o4755);
    let mut private = Tar::header(EntryType::Directory, "root/", 0);
    private.set_mode(0o700);
    Tar::default()
        .dir("./")
        .dir("./bin/")
        .add(set_id, b"x")
        .add(private, b"")
        .file("root/f", "later than its directory")
        .link(EntryType::Symlink, "sh", "/bin/su")
        .link(EntryType::Link, "hard", "./bin/su")
        .file("no/parent/entry", "")
        .unpack(&rootfs, Kind::Tree)
        .unwrap();
    let meta = |path: &str| fs::symlink_metadata(rootfs.join(path)).unwrap();
    assert_eq!(meta("bin/su").mode() & 0o7777, 0o4755);
    assert_eq!(meta("root").mode() & 0o7777, 0o700);
    assert_eq!(fs::read_link(rootfs.join("sh")).unwrap(), Path::new("/bin/su"));
    assert_eq!((meta("hard").ino(), meta("hard").nlink()), (meta("bin/su").ino(), 2));
    for path in ["", "bin", "bin/su", "root", "root/f", "sh"] {
        assert_eq!(meta(path).mtime(), 1_000_000_000, "{path}");
    }
    assert_eq!(meta("no/parent").mode() & 0o7777, 0o755);
}

#[test]
fn links_lead_where_they_lead_in_the_tree_and_never_out_of_it() {
    let (dir, rootfs) = tree();
    fs::create_dir(dir.path().join("outside")).unwrap();
    let outside = dir.path().join("outside");
    symlink(&outside, rootfs.join("trap")).unwrap();
    symlink("../../..", rootfs.join("up")).unwrap();
    symlink("/usr/lib", rootfs.join("lib")).unwrap();
    Tar::default()
        .file("lib/x", "1")
        .file("up/y", "2")
        .file("trap/z", "3")
        .link(EntryType::Link, "hard", "trap/z")
        .unpack(&rootfs, Kind::Layer)
        .unwrap();
    assert_eq!(fs::read(rootfs.join("usr/lib/x")).unwrap(), b"1");
    assert_eq!(fs::read(rootfs.join("y")).unwrap(), b"2");
    assert!(names(&outside).is_empty());
    let inside = rootfs.join(outside.strip_prefix("/").unwrap()).join("z");
    assert_eq!(fs::read(inside).unwrap(), b"3");
    assert_eq!(fs::read(rootfs.join("hard")).unwrap(), b"3");
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["../x", "a/../../x", "a/..", ".."] {
        let (dir, rootfs) = tree();
        let error = Tar::default().file(path, "").unpack(&rootfs, Kind::Tree).unwrap_err();
        assert_eq!(error, format!("cannot unpack a.tar: {path}: it leads out of the archive"));
        assert_eq!(names(dir.path()), ["rootfs"]);
    }
    let (_dir, rootfs) = tree();
    let hard = Tar::default().link(EntryType::Link, "passwd", "../../etc/passwd");
    assert!(hard.unpack(&rootfs, Kind::Tree).unwrap_err().contains("leads out"));
    // From the root on means from the tree's root on.
    Tar::default().file("/etc/x", "").unpack(&rootfs, Kind::Tree).unwrap();
    assert!(rootfs.join("etc/x").exists());
}

#[test]
fn later_entries_take_the_place_of_earlier_ones_of_any_kind() {
    let (_dir, rootfs) = tree();
    Tar::default()
        .dir("a")
        .file("a/b/c", "deep")
        .file("f", "old")
        .link(EntryType::Symlink, "l", "f")
        .dir("d")
        .link(EntryType::Symlink, "e", "d")
        .unpack(&rootfs, Kind::Tree)
        .unwrap();
    Tar::default().file("a", "file").dir("f").file("l", "own").dir("e").unpack(&rootfs, Kind::Layer).unwrap();
    assert_eq!(fs::read(rootfs.join("a")).unwrap(), b"file");
    assert!(rootfs.join("f").is_dir());
    assert!(fs::symlink_metadata(rootfs.join("l")).unwrap().is_file());
    assert!(fs::symlink_metadata(rootfs.join("e")).unwrap().is_dir());
}

#[test]
fn whiteouts_remove_what_lower_layers_have_and_nothing_else() {
    let (_dir, rootfs) = tree();
    let lower = || Tar::default().file("d/old", "").file("d/sub/x", "").file("gone", "").file("kept", "");
    lower().unpack(&rootfs, Kind::Layer).unwrap();
    Tar::default()
        .file("d/new", "")
        .file("d/.wh..wh..opq", "")
        .file("d/newer", "")
        .file(".wh.gone", "")
        .file(".wh.never", "")
        .file(".wh..wh.plnk", "")
        .unpack(&rootfs, Kind::Layer)
        .unwrap();
    assert_eq!(names(&rootfs), ["d", "kept"]);
    assert_eq!(names(&rootfs.join("d")), ["new", "newer"]);
    for name in [".wh...", ".wh.", ".wh.."] {
        assert!(Tar::default().file(name, "").unpack(&rootfs, Kind::Layer).is_err(), "{name}");
    }
    // In a whole tree a name is a name.
    Tar::default().file(".wh.kept", "").unpack(&rootfs, Kind::Tree).unwrap();
    assert_eq!(names(&rootfs), [".wh.kept", "d", "kept"]);
}

#[test]
fn extended_attributes_are_kept() {
    let (_dir, rootfs) = tree();
    let mut tar = Tar::default();
    tar.0.append_pax_extensions([("SCHILY.xattr.user.color", &b"blue\0"[..])]).unwrap();
    tar.file("f", "x").unpack(&rootfs, Kind::Tree).unwrap();
    assert_eq!(xattr::get(rootfs.join("f"), "user.color").unwrap().as_deref(), Some(&b"blue\0"[..]));
}

#[test]
fn owners_and_devices_are_kept_needs_root() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "it needs root");
        eprintln!("SKIPPED owners_and_devices_are_kept_needs_root");
        return;
    }
    let (_dir, rootfs) = tree();
    let mut null = Tar::header(EntryType::Char, "null", 0);
    null.set_device_major(1).unwrap();
    null.set_device_minor(3).unwrap();
    let mut owned = Tar::header(EntryType::Regular, "owned", 0);
    owned.set_uid(3_000_000_000);
    owned.set_gid(7);
    let fifo = Tar::header(EntryType::Fifo, "fifo", 0);
    Tar::default().add(null, b"").add(owned, b"").add(fifo, b"").unpack(&rootfs, Kind::Tree).unwrap();
    let meta = |path: &str| fs::symlink_metadata(rootfs.join(path)).unwrap();
    assert!(meta("null").file_type().is_char_device());
    assert_eq!((meta("null").rdev(), meta("null").mode() & 0o7777), (libc::makedev(1, 3), 0o644));
    assert_eq!((meta("owned").uid(), meta("owned").gid()), (3_000_000_000, 7));
    assert!(meta("fifo").file_type().is_fifo());
}

#[test]
fn a_damaged_archive_is_named() {
    let (_dir, rootfs) = tree();
    let whole = Tar::default().file("f", &"x".repeat(2000)).0.into_inner().unwrap();
    for bytes in [
        &whole[..700],
        b"not an archive, though it is long enough to be read as one block of it".repeat(8).as_slice(),
    ] {
        let error = unpack(bytes, Path::new("a.tar"), &rootfs, Kind::Tree).unwrap_err().to_string();
        assert!(error.starts_with("cannot unpack a.tar: ") || error.starts_with("cannot write "), "{error}");
    }
    let interrupted = io::Read::chain(&whole[..512], Broken);
    assert!(unpack(interrupted, Path::new("a.tar"), &rootfs, Kind::Tree).is_err());
}

struct Broken;

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("broken"))
    }
}
