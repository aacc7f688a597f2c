use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::mkdirat;
use tempfile::TempDir;

use super::*;

#[test]
fn links_are_removed_and_not_followed() {
    let temp = TempDir::new().unwrap();
    let (tree, outside) = (temp.path().join("tree"), temp.path().join("outside"));
    fs::create_dir(&tree).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), b"x").unwrap();
    symlink(&outside, tree.join("link")).unwrap();
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
    assert!(outside.join("file").exists());
    symlink(&outside, &tree).unwrap();
    remove_tree(&tree).unwrap();
    assert!(fs::symlink_metadata(&tree).is_err());
    assert!(outside.join("file").exists());
}

#[test]
fn nothing_there_is_fine() {
    let temp = TempDir::new().unwrap();
    remove_tree(&temp.path().join("missing")).unwrap();
}

#[test]
fn directories_without_any_permission_are_removed_needs_root() {
    if !super::super::trees::require_root() {
        return;
    }
    let temp = TempDir::new().unwrap();
    let tree = temp.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/file"), b"x").unwrap();
    for dir in ["a/b", "a", ""] {
        fs::set_permissions(tree.join(dir), Permissions::from_mode(0o0)).unwrap();
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn a_tree_of_5000_levels_is_removed() {
    let temp = TempDir::new().unwrap();
    let tree = temp.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let mut here = std::os::fd::OwnedFd::from(File::open(&tree).unwrap());
    for _ in 0..5000 {
        mkdirat(&here, "down", Mode::S_IRWXU).unwrap();
        here = nix::fcntl::openat(&here, "down", DIRECTORY, Mode::empty()).unwrap();
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_mounted_in_a_tree_is_not_emptied_needs_root() {
    use super::super::trees::mounts;
    let temp = TempDir::new().unwrap();
    let base = temp.path().join("base");
    fs::create_dir(&base).unwrap();
    if !mounts::tmpfs(&base, "1m") {
        return;
    }
    let (tree, precious) = (base.join("tree"), base.join("precious"));
    fs::create_dir_all(tree.join("dir/mount")).unwrap();
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), b"x").unwrap();
    mounts::bind(&precious, &tree.join("dir/mount"));
    let error = remove_tree(&tree).unwrap_err().to_string();
    let mount = tree.join("dir/mount");
    assert_eq!(error, format!("cannot remove {}: something is mounted there", mount.display()));
    assert!(precious.join("file").exists());
}
