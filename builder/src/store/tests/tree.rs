//! Directories on btrfs: what only their trees do.
#![cfg(target_os = "linux")]
use super::*;
use crate::store::system::subvolume;
use crate::transfer::trees::mounts::can_make_btrfs;

fn is_subvolume(dir: &Path) -> bool {
    subvolume::read_only(dir).unwrap().is_some()
}

#[test]
fn a_tree_on_btrfs_is_a_subvolume_from_the_first_step_on_needs_root() {
    if !can_make_btrfs() {
        return;
    }
    let case = Case::new(Kind::OnBtrfs);
    assert!(is_subvolume(&case.make(1, None).rootfs()));
    assert!(is_subvolume(&case.make(2, Some(1)).rootfs()));
    assert!(!is_subvolume(&case.path("result").join(id(2).as_str())), "the rest is as anywhere");
}

#[test]
fn a_tree_that_another_program_made_a_directory_is_built_on_and_deleted_needs_root() {
    if !can_make_btrfs() {
        return;
    }
    let case = Case::new(Kind::OnBtrfs);
    let rootfs = case.path("result").join(id(1).as_str()).join("rootfs");
    fs::create_dir_all(rootfs.join("below")).unwrap();
    fs::write(rootfs.join("below/file"), "kept").unwrap();
    let made = case.make(2, Some(1)).rootfs();
    assert!(is_subvolume(&made));
    assert_eq!(fs::read_to_string(made.join("below/file")).unwrap(), "kept");
    // As rm(1) does it.
    fs::remove_dir_all(case.path("result").join(id(2).as_str())).unwrap();
    assert!(!case.found(2));
    case.store.delete(&id(1)).unwrap();
    assert!(case.names("result").is_empty() && case.names("result-tmp").is_empty());
}
