use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::PathBuf;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::super::trees::{Content, facts, require_root};
use super::*;

/// What the sources are dated, as in the golden cases.
const SOURCE_TIME: i64 = 1_600_000_000;

/// A source tree and a tree to copy to.
struct Case {
    _temp: TempDir,
    source: PathBuf,
    rootfs: PathBuf,
}

impl Case {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let (source, rootfs) = (temp.path().join("source"), temp.path().join("rootfs"));
        fs::create_dir_all(source.join("dir/sub")).unwrap();
        fs::create_dir(&rootfs).unwrap();
        let case = Self { _temp: temp, source, rootfs };
        for (name, bytes, mode) in [
            ("a.txt", "a\n", 0o600),
            ("b.sh", "#!/bin/sh\ntrue\n\n\n", 0o4711),
            ("dir/f1", "f1\n", 0o444),
            ("dir/sub/x", "x\n", 0o644),
        ] {
            fs::write(case.source.join(name), bytes).unwrap();
            fs::set_permissions(case.source.join(name), Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(case.source.join("dir"), Permissions::from_mode(0o2700)).unwrap();
        symlink("a.txt", case.source.join("link")).unwrap();
        symlink("dir", case.source.join("dirlink")).unwrap();
        for path in facts(&case.source).keys().rev() {
            date(&case.source.join(path), SOURCE_TIME);
        }
        case
    }

    /// Lists the source `path`.
    fn item(&self, path: &str) -> Manifest {
        list(&self.source, Path::new(path))
    }

    fn copy_items(&self, items: &[Manifest], dst: &str, owner: (u32, u32)) -> Result<(), TransferError> {
        let into = dst.ends_with('/');
        let (source, rootfs, dst) = (&self.source, &self.rootfs, Path::new(dst));
        copy_into(&CopyPlan { items, source, rootfs, dst, into, owner })
    }

    fn copy(&self, paths: &[&str], dst: &str) -> Result<(), TransferError> {
        let items: Vec<_> = paths.iter().map(|path| self.item(path)).collect();
        self.copy_items(&items, dst, us())
    }

    fn refused(&self, paths: &[&str], dst: &str) -> String {
        self.copy(paths, dst).unwrap_err().to_string()
    }

    /// The tree as lines: path, kind, mode, time, and what a file holds or where a link points.
    fn tree(&self) -> Vec<String> {
        let below = facts(&self.rootfs).into_iter().filter(|(path, _)| !path.as_os_str().is_empty());
        below
            .map(|(path, facts)| {
                let content = match &facts.content {
                    Content::Directory => "/".to_owned(),
                    Content::File(bytes) => format!(" {:?}", String::from_utf8_lossy(bytes)),
                    Content::Link(target) => format!(" -> {}", target.display()),
                    Content::Node(_) => " node".to_owned(),
                };
                format!("{}{content} {:o} {}", path.display(), facts.mode & 0o7777, facts.mtime.0)
            })
            .collect()
    }

    fn mkdir(&self, path: &str, mode: u32) {
        fs::create_dir_all(self.rootfs.join(path)).unwrap();
        fs::set_permissions(self.rootfs.join(path), Permissions::from_mode(mode)).unwrap();
    }
}

fn date(path: &Path, seconds: i64) {
    let time = TimeSpec::new(seconds, 0);
    utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

fn us() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

fn list(source: &Path, path: &Path) -> Manifest {
    let at = source.join(path);
    let kind = fs::symlink_metadata(&at).unwrap().file_type();
    let name: OsString = path.as_os_str().to_owned();
    if kind.is_symlink() {
        Manifest::Symlink { path: name, target: fs::read_link(at).unwrap().into_os_string() }
    } else if kind.is_dir() {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let children = names.iter().map(|child| list(source, &path.join(child))).collect();
        Manifest::Dir { path: name, children }
    } else {
        let digest = Sha256::digest(fs::read(at).unwrap());
        Manifest::File { path: name, sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

const WHOLE_SOURCE: [&str; 8] = [
    "a.txt \"a\\n\" 644 1600000000",
    "b.sh \"#!/bin/sh\\ntrue\\n\\n\\n\" 755 1600000000",
    "dir/ 755 1600000000",
    "dir/f1 \"f1\\n\" 644 1600000000",
    "dir/sub/ 755 1600000000",
    "dir/sub/x \"x\\n\" 644 1600000000",
    "dirlink -> dir 777 1600000000",
    "link -> a.txt 777 1600000000",
];

#[test]
fn items_and_destinations_meet_as_in_the_original() {
    for (items, dst, expected) in [
        (&["a.txt"][..], "/dst-file", &["dst-file \"a\\n\" 644 1600000000"][..]),
        (&["a.txt"], "dst-file", &["dst-file \"a\\n\" 644 1600000000"]),
        (
            &["a.txt"],
            "/new/deep/",
            &["new/ 755 0", "new/deep/ 755 0", "new/deep/a.txt \"a\\n\" 644 1600000000"],
        ),
        (&["a.txt"], "/new/name", &["new/ 755 0", "new/name \"a\\n\" 644 1600000000"]),
        (
            &["a.txt", "b.sh"],
            "/multi/",
            &[
                "multi/ 755 0",
                "multi/a.txt \"a\\n\" 644 1600000000",
                "multi/b.sh \"#!/bin/sh\\ntrue\\n\\n\\n\" 755 1600000000",
            ],
        ),
        (&["dir/sub"], "/dir-as", &["dir-as/ 755 1600000000", "dir-as/x \"x\\n\" 644 1600000000"]),
        (
            &["dir/sub"],
            "/into/",
            &["into/ 755 0", "into/sub/ 755 1600000000", "into/sub/x \"x\\n\" 644 1600000000"],
        ),
        (
            &["dirlink", "link"],
            "/l/",
            &["l/ 755 0", "l/dirlink -> dir 777 1600000000", "l/link -> a.txt 777 1600000000"],
        ),
        (&["dirlink"], "/dl", &["dl -> dir 777 1600000000"]),
        (&["dir/sub/x"], "/n/", &["n/ 755 0", "n/x \"x\\n\" 644 1600000000"]),
        (&["a.txt"], "/w/.", &["w/ 755 0", "w/a.txt \"a\\n\" 644 1600000000"]),
        (
            &["a.txt"],
            "/w/rel/../up/here",
            &["w/ 755 0", "w/rel/ 755 0", "w/up/ 755 0", "w/up/here \"a\\n\" 644 1600000000"],
        ),
        (&["a.txt"], "/../../x", &["x \"a\\n\" 644 1600000000"]),
        (&["a.txt"], "/", &["a.txt \"a\\n\" 644 1600000000"]),
        (&[""], "/", &WHOLE_SOURCE),
    ] {
        let case = Case::new();
        case.copy(items, dst).unwrap();
        assert_eq!(case.tree(), expected, "{items:?} {dst}");
    }
}

#[test]
fn the_source_root_copied_to_a_new_directory_gives_it_its_time() {
    for dst in ["/all/", "/all"] {
        let case = Case::new();
        case.copy(&[""], dst).unwrap();
        let tree = case.tree();
        assert_eq!(tree[0], "all/ 755 1600000000");
        let below: Vec<_> = tree[1..].iter().map(|line| line.strip_prefix("all/").unwrap()).collect();
        assert_eq!(below, WHOLE_SOURCE);
    }
}

#[test]
fn directories_that_are_there_keep_mode_and_time() {
    let case = Case::new();
    case.mkdir("usr/dir/sub", 0o2770);
    for path in ["usr/dir/sub", "usr/dir", "usr", ""] {
        fs::set_permissions(case.rootfs.join(path), Permissions::from_mode(0o2770)).unwrap();
        date(&case.rootfs.join(path), 5);
    }
    case.copy(&["dir"], "/usr/").unwrap();
    case.copy(&["a.txt"], "/usr/dir/sub/").unwrap();
    let expected = [
        "usr/ 2770 5",
        "usr/dir/ 2770 5",
        "usr/dir/f1 \"f1\\n\" 644 1600000000",
        "usr/dir/sub/ 2770 5",
        "usr/dir/sub/a.txt \"a\\n\" 644 1600000000",
        "usr/dir/sub/x \"x\\n\" 644 1600000000",
    ];
    assert_eq!(case.tree(), expected);
    assert_eq!(fs::metadata(&case.rootfs).unwrap().mtime(), 5);
}

#[test]
fn only_what_is_made_gets_the_owner_needs_root() {
    if !require_root() {
        return;
    }
    let case = Case::new();
    case.mkdir("usr/local", 0o755);
    lchown(case.rootfs.join("usr/local"), Some(7), Some(8)).unwrap();
    case.copy_items(&[case.item("dir"), case.item("link")], "/usr/local/lib/", (705, 706)).unwrap();
    for (path, facts) in facts(&case.rootfs) {
        let owner = match path.to_str().unwrap() {
            "" | "usr" => (0, 0),
            "usr/local" => (7, 8),
            _ => (705, 706),
        };
        assert_eq!(facts.owner, owner, "{}", path.display());
    }
}

#[test]
fn links_to_directories_are_followed_inside_the_tree_only() {
    let case = Case::new();
    let outside = case.rootfs.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    case.mkdir("real/sub", 0o755);
    symlink("/real", case.rootfs.join("abs")).unwrap();
    symlink("../../../../real", case.rootfs.join("up")).unwrap();
    symlink(&outside, case.rootfs.join("host")).unwrap();
    case.mkdir("below", 0o755);
    symlink("/real/sub", case.rootfs.join("below/abs")).unwrap();
    case.copy(&["a.txt"], "/below/abs/2").unwrap();
    case.copy(&["a.txt"], "/below/abs/../3").unwrap();
    assert!(case.rootfs.join("real/sub/2").is_file() && case.rootfs.join("real/3").is_file());
    case.copy(&["a.txt"], "/abs/1").unwrap();
    case.copy(&["a.txt"], "/up/sub/").unwrap();
    case.copy(&["a.txt"], "/abs").unwrap();
    case.copy(&["a.txt"], "/host/").unwrap();
    let real = case.rootfs.join("real");
    assert!(real.join("1").is_file() && real.join("sub/a.txt").is_file() && real.join("a.txt").is_file());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let within = outside.strip_prefix("/").unwrap();
    assert!(case.rootfs.join(within).join("a.txt").is_file());
    assert!(fs::symlink_metadata(case.rootfs.join("host")).unwrap().is_symlink());
}

#[test]
fn a_directory_copied_onto_a_link_to_a_directory_goes_where_it_leads() {
    let case = Case::new();
    case.mkdir("real", 0o755);
    case.mkdir("t/dir", 0o755);
    symlink("../../real", case.rootfs.join("t/dir/sub")).unwrap();
    case.copy(&["dir"], "/t/").unwrap();
    assert!(fs::symlink_metadata(case.rootfs.join("t/dir/sub")).unwrap().is_symlink());
    assert!(case.rootfs.join("real/x").is_file());
}

#[test]
fn files_and_links_replace_files_and_links_and_leave_their_targets_alone() {
    let case = Case::new();
    let outside = case.rootfs.parent().unwrap().join("outside");
    fs::write(&outside, b"host").unwrap();
    fs::write(case.rootfs.join("old"), b"old").unwrap();
    fs::hard_link(case.rootfs.join("old"), case.rootfs.join("other")).unwrap();
    symlink(&outside, case.rootfs.join("leak")).unwrap();
    fs::write(case.rootfs.join("l"), b"old").unwrap();
    fs::write(case.rootfs.join("d"), b"old").unwrap();
    case.copy(&["a.txt"], "/old").unwrap();
    case.copy(&["a.txt"], "/leak").unwrap();
    case.copy(&["link"], "/l").unwrap();
    case.copy(&["dir/sub"], "/d").unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"host");
    let read = |name: &str| fs::read_to_string(case.rootfs.join(name)).unwrap();
    assert_eq!([read("old"), read("other"), read("leak")], ["a\n", "old", "a\n"]);
    assert_eq!(fs::read_link(case.rootfs.join("l")).unwrap(), Path::new("a.txt"));
    assert!(case.rootfs.join("d/x").is_file());
}

#[test]
fn a_file_never_replaces_a_directory() {
    let case = Case::new();
    case.mkdir("t/a.txt", 0o755);
    let why = "cannot copy a file to /t/a.txt: it is a directory; end the destination in '/' to copy into it";
    assert_eq!(case.refused(&["a.txt"], "/t/"), why);
}

#[test]
fn what_is_in_the_way_of_the_destination_is_named() {
    let case = Case::new();
    fs::write(case.rootfs.join("file"), b"x").unwrap();
    symlink("loop", case.rootfs.join("loop")).unwrap();
    assert_eq!(case.refused(&["a.txt"], "/file/x"), "cannot copy to /file/x: /file is not a directory");
    assert_eq!(
        case.refused(&["a.txt"], "/loop/x"),
        "cannot copy to /loop/x: too many levels of symbolic links"
    );
    let many = "When copying multiple items, the destination must end with '/'";
    assert_eq!(case.refused(&["a.txt", "b.sh"], "/x"), many);
}

#[test]
fn a_source_that_changed_since_it_was_listed_is_refused() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("a.txt", |at| fs::write(at, b"b\n").unwrap()),
        ("a.txt", |at| fs::remove_file(at).unwrap()),
        ("a.txt", |at| {
            fs::remove_file(at).unwrap();
            symlink("/etc/passwd", at).unwrap();
        }),
        ("link", |at| {
            fs::remove_file(at).unwrap();
            symlink("b.sh", at).unwrap();
        }),
        ("link", |at| {
            fs::remove_file(at).unwrap();
            fs::write(at, b"a.txt").unwrap();
        }),
        ("dir/sub/x", |at| fs::write(at, b"").unwrap()),
    ];
    for (path, change) in changes {
        let case = Case::new();
        let items = [case.item("")];
        change(&case.source.join(path));
        let error = case.copy_items(&items, "/t/", us()).unwrap_err().to_string();
        let at = case.source.join(path);
        let why = "changed while it was being copied; leave it alone and run the build again";
        assert_eq!(error, format!("{} {why}", at.display()));
    }
}

#[test]
fn a_source_is_not_reached_through_a_link() {
    let case = Case::new();
    let items = [case.item("dir/sub/x"), case.item("dir")];
    fs::rename(case.source.join("dir"), case.source.join("moved")).unwrap();
    symlink("moved", case.source.join("dir")).unwrap();
    for item in items {
        let error = case.copy_items(&[item], "/t/", us()).unwrap_err().to_string();
        let link = format!("{} is a symbolic link, which is not followed", case.source.join("dir").display());
        assert!(error.contains(&link), "{error}");
    }
}

#[test]
fn nothing_outside_the_source_is_read() {
    let case = Case::new();
    for path in ["../rootfs/secret", "/etc/passwd", "dir/..", ".."] {
        let item = Manifest::File { path: path.into(), sha256: String::new() };
        let error = case.copy_items(&[item], "/t/", us()).unwrap_err().to_string();
        assert!(error.ends_with("it leads out of the source tree"), "{path}: {error}");
    }
}

#[test]
fn a_large_file_arrives_whole() {
    let case = Case::new();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(case.source.join("large"), &bytes).unwrap();
    case.copy(&["large"], "/x").unwrap();
    assert!(fs::read(case.rootfs.join("x")).unwrap() == bytes);
}

#[test]
fn the_same_copy_makes_the_same_tree_twice() {
    let (one, two) = (Case::new(), Case::new());
    one.copy(&["dir", "a.txt"], "/x/y/").unwrap();
    two.copy(&["dir", "a.txt"], "/x/y/").unwrap();
    assert_eq!(one.tree(), two.tree());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_with_the_file_that_did_not_fit_needs_root() {
    let case = Case::new();
    if !super::super::trees::mounts::tmpfs(&case.rootfs, "1m") {
        return;
    }
    fs::write(case.source.join("large"), vec![1; 2 << 20]).unwrap();
    let path = case.rootfs.join("t/large");
    let why = format!("cannot write {}: no space left on the device that holds it", path.display());
    assert_eq!(case.refused(&["large"], "/t/"), why);
}
