use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use tempfile::TempDir;

use super::super::clone::clone_tree;
use super::super::trees::facts;
use super::*;

/// A tree of two directories, and its clone.
fn trees() -> (TempDir, PathBuf, PathBuf) {
    let temp = TempDir::new().unwrap();
    let (base, tree) = (temp.path().join("base"), temp.path().join("tree"));
    fs::create_dir_all(base.join("dir/sub")).unwrap();
    for name in ["a", "b", "dir/c", "dir/sub/d", "dir/sub/e"] {
        fs::write(base.join(name), name).unwrap();
    }
    clone_tree(&base, &tree, None).unwrap();
    (temp, base, tree)
}

fn share(temp: &TempDir, base: &Path, tree: &Path, alike: Alike) {
    share_files(base, tree, &temp.path().join("spare"), alike).unwrap();
    assert!(!temp.path().join("spare").exists());
}

fn is_shared(base: &Path, tree: &Path, name: &str) -> bool {
    fs::metadata(base.join(name)).unwrap().ino() == fs::metadata(tree.join(name)).unwrap().ino()
}

fn set_time_as(of: &Path, path: &Path) {
    let stat = fs::metadata(of).unwrap();
    let time = TimeSpec::new(stat.mtime(), stat.mtime_nsec());
    utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::FollowSymlink).unwrap();
}

#[test]
fn what_is_the_same_is_shared_and_nothing_else_changes() {
    let (temp, base, tree) = trees();
    fs::write(tree.join("a"), "changed").unwrap();
    fs::write(tree.join("dir/new"), "new").unwrap();
    xattr::set(tree.join("dir/sub/d"), "user.colour", b"red").unwrap();
    let before = facts(&tree);
    share(&temp, &base, &tree, Alike::Bytes);
    assert!(facts(&tree) == before);
    let shared = ["a", "b", "dir/c", "dir/sub/d", "dir/sub/e"].map(|name| is_shared(&base, &tree, name));
    assert_eq!(shared, [false, true, true, false, true]);
}

#[test]
fn a_file_with_its_old_size_and_time_is_looked_into_unless_one_does_without() {
    let (temp, base, tree) = trees();
    fs::write(tree.join("a"), "A").unwrap();
    set_time_as(&base.join("a"), &tree.join("a"));
    share(&temp, &base, &tree, Alike::Bytes);
    assert_eq!(fs::read_to_string(tree.join("a")).unwrap(), "A");
    share(&temp, &base, &tree, Alike::Size);
    assert_eq!(fs::read_to_string(tree.join("a")).unwrap(), "a");
}

#[test]
fn two_files_never_become_one() {
    let (temp, base, tree) = trees();
    fs::remove_file(base.join("b")).unwrap();
    fs::hard_link(base.join("a"), base.join("b")).unwrap();
    fs::write(tree.join("b"), "a").unwrap();
    set_time_as(&base.join("a"), &tree.join("b"));
    fs::remove_file(tree.join("dir/sub/e")).unwrap();
    fs::hard_link(tree.join("dir/sub/d"), tree.join("dir/sub/e")).unwrap();
    let before = facts(&tree);
    share(&temp, &base, &tree, Alike::Bytes);
    assert!(facts(&tree) == before);
}
