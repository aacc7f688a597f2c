use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use tempfile::TempDir;

use super::super::remove::remove_tree;
use super::super::trees::{Content, facts, require_root, run_with_few_descriptors};
use super::*;

/// An ACL that lets user 705 write, in the form of the extended attribute (acl(5), version 2).
const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 6, 0, 0xc1, 2, 0, 0, 4, 0, 4, 0, 0xff, 0xff, 0xff,
    0xff, 0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
];
/// `cap_net_raw+ep`, as capabilities(7) stores it (revision 2).
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = TimeSpec::new(seconds, nanoseconds);
    utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A temporary directory with an empty `from` in it.
fn temp() -> (TempDir, PathBuf, PathBuf) {
    let temp = TempDir::new().unwrap();
    let (from, to) = (temp.path().join("from"), temp.path().join("to"));
    fs::create_dir(&from).unwrap();
    (temp, from, to)
}

#[test]
fn bytes_modes_and_links_are_kept() {
    let (_temp, from, to) = temp();
    for mode in [0o400, 0o444, 0o600, 0o644, 0o666, 0o755, 0o777, 0o711] {
        write(&from.join(format!("file-{mode:o}")), &mode.to_string().into_bytes(), mode);
    }
    write(&from.join("empty"), b"", 0o644);
    write(&from.join("large"), &vec![7; 3_000_001], 0o640);
    fs::create_dir_all(from.join("dir/sub/empty")).unwrap();
    fs::set_permissions(from.join("dir/sub"), Permissions::from_mode(0o750)).unwrap();
    write(&from.join("dir/sub/file"), b"deep", 0o644);
    symlink("dir/sub", from.join("link")).unwrap();
    symlink("/no/where", from.join("dangling")).unwrap();
    clone_tree(&from, &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
}

#[test]
fn names_of_255_bytes_that_are_no_text_are_kept() {
    let (_temp, from, to) = temp();
    let name = [0xff; 255];
    let name = OsStr::from_bytes(&name);
    fs::create_dir(from.join(name)).unwrap();
    write(&from.join(name).join(name), b"x", 0o644);
    symlink(name, from.join("new\nline")).unwrap();
    clone_tree(&from, &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
}

#[test]
fn times_are_kept_to_the_nanosecond_for_directories_and_links_too() {
    let (_temp, from, to) = temp();
    fs::create_dir(from.join("dir")).unwrap();
    write(&from.join("dir/file"), b"x", 0o644);
    symlink("x", from.join("dir/link")).unwrap();
    for (number, path) in ["dir/file", "dir/link", "dir", ""].iter().enumerate() {
        set_mtime(&from.join(path), 1_000_000 + number as i64, 123_456_789);
    }
    set_mtime(&from.join("dir/file"), -5, 1);
    clone_tree(&from, &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
    assert_eq!(facts(&to)[Path::new("dir")].mtime, (1_000_002, 123_456_789));
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    let (_temp, from, to) = temp();
    fs::create_dir_all(from.join("a/b")).unwrap();
    write(&from.join("a/b/first"), b"x", 0o644);
    fs::hard_link(from.join("a/b/first"), from.join("second")).unwrap();
    fs::hard_link(from.join("a/b/first"), from.join("a/third")).unwrap();
    symlink("x", from.join("link")).unwrap();
    fs::hard_link(from.join("link"), from.join("a/link")).unwrap();
    clone_tree(&from, &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
    assert_eq!(fs::metadata(to.join("second")).unwrap().nlink(), 3);
    assert_ne!(
        fs::metadata(to.join("second")).unwrap().ino(),
        fs::metadata(from.join("second")).unwrap().ino()
    );
}

#[test]
fn a_clone_is_independent_of_its_original() {
    let (_temp, from, to) = temp();
    write(&from.join("file"), b"old", 0o644);
    clone_tree(&from, &to, None).unwrap();
    fs::write(to.join("file"), b"new").unwrap();
    assert_eq!(fs::read(from.join("file")).unwrap(), b"old");
}

#[test]
fn holes_stay_holes() {
    let (_temp, from, to) = temp();
    let file = File::create(from.join("sparse")).unwrap();
    file.write_all_at(b"head", 0).unwrap();
    file.write_all_at(b"middle", 40 << 20).unwrap();
    file.set_len(80 << 20).unwrap();
    File::create(from.join("nothing")).unwrap().set_len(1 << 30).unwrap();
    clone_tree(&from, &to, None).unwrap();
    let blocks = |path: &Path| fs::metadata(path).unwrap().blocks();
    assert!(blocks(&to.join("sparse")) <= blocks(&from.join("sparse")) + 8, "{}", blocks(&to.join("sparse")));
    assert_eq!(blocks(&to.join("nothing")), 0);
    assert_eq!(fs::metadata(to.join("nothing")).unwrap().len(), 1 << 30);
    assert!(fs::read(to.join("sparse")).unwrap() == fs::read(from.join("sparse")).unwrap());
}

#[test]
fn what_only_root_can_make_is_kept_needs_root() {
    if !require_root() {
        return;
    }
    let (_temp, from, to) = temp();
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1644), ("none", 0)] {
        write(&from.join(name), b"x", mode);
        lchown(from.join(name), Some(705), Some(706)).unwrap();
        fs::set_permissions(from.join(name), Permissions::from_mode(mode)).unwrap();
    }
    for (name, mode) in [("shared", 0o1777), ("group", 0o2775), ("closed", 0)] {
        fs::create_dir(from.join(name)).unwrap();
        write(&from.join(name).join("inside"), b"x", 0o640);
        lchown(from.join(name), Some(1), Some(705)).unwrap();
        fs::set_permissions(from.join(name), Permissions::from_mode(mode)).unwrap();
    }
    symlink("x", from.join("link")).unwrap();
    lchown(from.join("link"), Some(705), Some(20)).unwrap();
    mknod(&from.join("fifo"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o620), 0).unwrap();
    let null = fs::metadata("/dev/null").unwrap().rdev();
    mknod(&from.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), null as _).unwrap();
    drop(UnixListener::bind(from.join("socket")).unwrap());
    fs::set_permissions(from.join("socket"), Permissions::from_mode(0o777)).unwrap();
    clone_tree(&from, &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
    assert_eq!(facts(&to)[Path::new("setuid")].mode & 0o7777, 0o4755);
    assert!(matches!(facts(&to)[Path::new("null")].content, Content::Node(device) if device == null));
}

#[test]
fn attributes_acls_and_capabilities_are_kept_needs_root() {
    if !require_root() {
        return;
    }
    let (_temp, from, to) = temp();
    fs::create_dir(from.join("dir")).unwrap();
    write(&from.join("dir/file"), b"x", 0o755);
    lchown(from.join("dir/file"), Some(705), Some(705)).unwrap();
    symlink("x", from.join("link")).unwrap();
    xattr::set(from.join("dir/file"), "security.capability", CAPABILITY).unwrap();
    xattr::set(from.join("dir/file"), "user.big", &[9; 2000]).unwrap();
    xattr::set(from.join("dir/file"), "system.posix_acl_access", ACL).unwrap();
    xattr::set(from.join("dir"), "user.colour", b"").unwrap();
    xattr::set(from.join("link"), "trusted.of-a-link", b"y").unwrap();
    xattr::set(&from, "system.posix_acl_default", ACL).unwrap();
    clone_tree(&from, &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
    assert_eq!(facts(&to)[Path::new("dir/file")].xattrs.len(), 3);
}

#[test]
fn the_place_of_a_clone_does_not_colour_it_needs_root() {
    if !require_root() {
        return;
    }
    let (temp, from, to) = temp();
    write(&from.join("file"), b"x", 0o644);
    fs::create_dir(from.join("dir")).unwrap();
    lchown(temp.path(), None, Some(705)).unwrap();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o2755)).unwrap();
    xattr::set(temp.path(), "system.posix_acl_default", ACL).unwrap();
    clone_tree(&from, &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
}

#[test]
fn one_users_files_can_be_given_to_another_needs_root() {
    if !require_root() {
        return;
    }
    let (_temp, from, to) = temp();
    for (name, uid) in [("his", 1000), ("roots", 0), ("others", 1001)] {
        write(&from.join(name), b"x", 0o4755);
        lchown(from.join(name), Some(uid), Some(50)).unwrap();
        fs::set_permissions(from.join(name), Permissions::from_mode(0o4755)).unwrap();
    }
    symlink("his", from.join("link")).unwrap();
    lchown(from.join("link"), Some(1000), Some(1000)).unwrap();
    lchown(&from, Some(1000), Some(1000)).unwrap();
    clone_tree(&from, &to, Some(Reown { from: 1000, uid: 705, gid: 706 })).unwrap();
    let found = facts(&to);
    let owner = |path: &str| found[Path::new(path)].owner;
    assert_eq!([owner(""), owner("his"), owner("link")], [(705, 706); 3]);
    assert_eq!([owner("roots"), owner("others")], [(0, 50), (1001, 50)]);
    assert_eq!(found[Path::new("his")].mode & 0o7777, 0o4755);
}

#[test]
fn a_tree_200_levels_deep_with_paths_longer_than_path_max_is_cloned_and_removed() {
    let (_temp, from, to) = temp();
    let name = "a-name-of-some-length-for-a-directory";
    let mut here = File::open(&from).unwrap();
    fs::write(from.join("top"), b"linked").unwrap();
    for level in 0..200 {
        let dir = format!("/dev/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&here));
        fs::create_dir(&dir).unwrap();
        fs::write(format!("{dir}/file"), level.to_string()).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700 + level % 8)).unwrap();
        here = File::open(&dir).unwrap();
    }
    let bottom = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&here));
    fs::write(format!("{bottom}/first"), b"x").unwrap();
    nix::unistd::linkat(&here, "first", File::open(&from).unwrap(), "zz", nix::fcntl::AtFlags::empty())
        .unwrap();
    fs::write(format!("{bottom}/one"), b"y").unwrap();
    fs::hard_link(format!("{bottom}/one"), format!("{bottom}/two")).unwrap();
    clone_tree(&from, &to, None).unwrap();
    let found = facts(&to);
    assert_eq!(found.len(), 406);
    assert!(found.keys().map(|path| path.as_os_str().len()).max().unwrap() > 7000);
    assert!(found == facts(&from));
    remove_tree(&to).unwrap();
    assert!(!to.exists());
}

#[test]
fn deep_trees_need_few_descriptors() {
    let name = "a_tree_200_levels_deep_with_paths_longer_than_path_max_is_cloned_and_removed";
    run_with_few_descriptors(&format!("transfer::clone::tests::{name}"), 300);
    run_with_few_descriptors("transfer::remove::tests::a_tree_of_5000_levels_is_removed", 300);
}

#[test]
fn nothing_is_written_through_a_link_at_the_destination() {
    let (temp, from, to) = temp();
    let outside = temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, &to).unwrap();
    write(&from.join("file"), b"x", 0o644);
    let error = clone_tree(&from, &to, None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot make the directory {}", to.display())), "{error}");
    assert!(!outside.join("file").exists());
}

#[test]
fn the_original_may_be_named_by_a_link() {
    let (temp, from, to) = temp();
    write(&from.join("file"), b"x", 0o644);
    symlink("from", temp.path().join("name")).unwrap();
    clone_tree(&temp.path().join("name"), &to, None).unwrap();
    assert_eq!(facts(&to), facts(&from));
}

#[test]
fn a_missing_original_is_named() {
    let (_temp, from, to) = temp();
    let missing = from.join("missing");
    let error = clone_tree(&missing, &to, None).unwrap_err().to_string();
    assert_eq!(error, format!("cannot open {}: no such file or directory", missing.display()));
}

#[cfg(target_os = "linux")]
mod on_other_file_systems {
    use super::super::super::trees::mounts;
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_the_file_that_did_not_fit_needs_root() {
        let (temp, from, _) = temp();
        let small = temp.path().join("small");
        fs::create_dir(&small).unwrap();
        if !mounts::tmpfs(&small, "1m") {
            return;
        }
        fs::create_dir(from.join("dir")).unwrap();
        write(&from.join("dir/large"), &vec![1; 2 << 20], 0o644);
        let to = small.join("to");
        let error = clone_tree(&from, &to, None).unwrap_err().to_string();
        let path = to.join("dir/large");
        assert_eq!(
            error,
            format!("cannot write {}: no space left on the device that holds it", path.display())
        );
        remove_tree(&to).unwrap();
    }

    #[test]
    fn from_one_file_system_to_another_everything_is_kept_needs_root() {
        let (temp, from, _) = temp();
        let other = temp.path().join("other");
        fs::create_dir(&other).unwrap();
        if !mounts::tmpfs(&other, "10m") {
            return;
        }
        write(&from.join("file"), &vec![5; 1_000_000], 0o4711);
        File::create(from.join("sparse")).unwrap().write_all_at(b"end", 50 << 20).unwrap();
        clone_tree(&from, &other.join("to"), None).unwrap();
        assert!(facts(&other.join("to")) == facts(&from));
    }

    #[test]
    fn blocks_are_shared_where_the_file_system_can_needs_root_and_xfs() {
        let temp = TempDir::new().unwrap();
        let disk = temp.path().join("disk");
        fs::create_dir(&disk).unwrap();
        if !mounts::xfs(&disk) {
            return;
        }
        let (from, to) = (disk.join("from"), disk.join("to"));
        fs::create_dir(&from).unwrap();
        for number in 0..4 {
            write(&from.join(number.to_string()), &vec![number; 40 << 20], 0o644);
        }
        let free = || nix::sys::statvfs::statvfs(&disk).unwrap().blocks_free() * 4096;
        nix::unistd::sync();
        let before = free();
        clone_tree(&from, &to, None).unwrap();
        nix::unistd::sync();
        assert!(before - free() < 4 << 20, "{} bytes used", before - free());
        assert!(facts(&to) == facts(&from));
    }
}

/// A tree that several threads clone: 30 directories in one another and 60 beside each other.
fn large_tree(from: &Path) {
    let mut deep = from.to_owned();
    for level in 0..30 {
        deep = deep.join(format!("level-{level}"));
        fs::create_dir(&deep).unwrap();
        fs::hard_link(from.join("first"), deep.join("further")).unwrap();
        for number in 0..10 {
            write(&deep.join(number.to_string()), b"deep", 0o644);
        }
    }
    for dir in 0..30 {
        let dir = from.join(dir.to_string());
        fs::create_dir(&dir).unwrap();
        for number in 0..30 {
            write(&dir.join(number.to_string()), number.to_string().as_bytes(), 0o600 + number % 64);
        }
        fs::hard_link(from.join("first"), dir.join("further")).unwrap();
        symlink("further", dir.join("link")).unwrap();
        set_mtime(&dir, 1_000_000, 7);
        fs::set_permissions(&dir, Permissions::from_mode(0o555)).unwrap();
    }
}

#[test]
fn a_large_tree_is_cloned_by_several_threads_as_by_one() {
    let (_temp, from, to) = temp();
    write(&from.join("first"), b"x", 0o644);
    large_tree(&from);
    clone_tree(&from, &to, None).unwrap();
    assert!(facts(&to) == facts(&from));
    assert_eq!(fs::metadata(to.join("first")).unwrap().nlink(), 61);
}

#[test]
fn of_a_large_tree_one_file_that_cannot_be_cloned_is_named() {
    let (_temp, from, to) = temp();
    write(&from.join("first"), b"x", 0o644);
    large_tree(&from);
    fs::create_dir_all(to.join("0")).unwrap();
    fs::create_dir(to.join("29")).unwrap();
    let error = clone_tree(&from, &to, None).unwrap_err().to_string();
    let named = ["0", "29"].map(|name| format!("cannot write {}: file exists", to.join(name).display()));
    assert!(named.contains(&error), "{error}");
}

#[test]
fn a_directory_that_was_another_users_and_handed_things_down_becomes_the_same_needs_root() {
    if !require_root() {
        return;
    }
    let (_temp, from, to) = temp();
    for root in [&from, &to] {
        fs::create_dir_all(root.join("dir/same")).unwrap();
        set_mtime(&root.join("dir/same"), 5, 5);
    }
    write(&from.join("dir/new"), b"x", 0o644);
    fs::create_dir(from.join("dir/sub")).unwrap();
    lchown(to.join("dir"), Some(705), Some(706)).unwrap();
    fs::set_permissions(to.join("dir"), Permissions::from_mode(0o2755)).unwrap();
    xattr::set(to.join("dir"), "system.posix_acl_default", ACL).unwrap();
    clone_onto(&from, &to).unwrap();
    assert_eq!(facts(&to), facts(&from));
}

#[test]
fn a_tree_becomes_the_same_as_another_and_what_was_the_same_stays() {
    let (_temp, from, to) = temp();
    write(&from.join("first"), b"x", 0o644);
    large_tree(&from);
    clone_tree(&from, &to, None).unwrap();
    let same = fs::metadata(to.join("7/7")).unwrap().ino();
    fs::remove_file(from.join("1/1")).unwrap();
    write(&from.join("2/2"), b"3", 0o602);
    write(&from.join("3/new"), b"new", 0o644);
    fs::remove_dir_all(from.join("4")).unwrap();
    write(&from.join("4"), b"a file", 0o644);
    fs::remove_file(from.join("5/5")).unwrap();
    fs::create_dir(from.join("5/5")).unwrap();
    xattr::set(from.join("6/6"), "user.colour", b"red").unwrap();
    fs::remove_file(from.join("8/further")).unwrap();
    write(&from.join("8/further"), b"x", 0o644);
    fs::remove_file(from.join("9/9")).unwrap();
    fs::hard_link(from.join("first"), from.join("9/9")).unwrap();
    fs::remove_file(from.join("10/link")).unwrap();
    symlink("elsewhere", from.join("10/link")).unwrap();
    fs::create_dir_all(to.join("extra/dir")).unwrap();
    xattr::set(to.join("11"), "user.extra", b"").unwrap();
    fs::remove_file(to.join("12/12")).unwrap();
    fs::hard_link(to.join("12/13"), to.join("12/12")).unwrap();
    clone_onto(&from, &to).unwrap();
    assert!(facts(&to) == facts(&from));
    assert_eq!(fs::metadata(to.join("7/7")).unwrap().ino(), same);
}
