//! Directories on btrfs: what only their trees do.
#![cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::store::system::subvolume;
use crate::store::verify::verify;

/// The tree of the result `number`, where it lies.
fn rootfs(case: &Case, number: u8) -> PathBuf {
    case.path("result").join(id(number).as_str()).join("rootfs")
}

fn is_subvolume(dir: &Path) -> bool {
    subvolume::read_only(dir).unwrap().is_some()
}

fn case() -> Option<Case> {
    Kind::OnBtrfs.can_be_made().then(|| Case::new(Kind::OnBtrfs))
}

#[test]
fn a_tree_on_btrfs_is_a_subvolume_from_the_first_step_on_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    case.make(2, Some(1));
    assert!(is_subvolume(&rootfs(&case, 1)) && is_subvolume(&rootfs(&case, 2)));
    assert!(!is_subvolume(&case.path("result").join(id(2).as_str())), "the rest is as anywhere");
}

#[test]
fn a_tree_that_another_program_made_a_directory_is_built_on_and_deleted_needs_root() {
    let Some(case) = case() else { return };
    let theirs = rootfs(&case, 1);
    fs::create_dir_all(theirs.join("below")).unwrap();
    fs::write(theirs.join("below/file"), "kept").unwrap();
    case.make(2, Some(1));
    let made = rootfs(&case, 2);
    assert!(is_subvolume(&made));
    assert_eq!(fs::read_to_string(made.join("below/file")).unwrap(), "kept");
    // As rm(1) does it.
    fs::remove_dir_all(case.path("result").join(id(2).as_str())).unwrap();
    assert!(!case.found(2));
    case.store.delete(&id(1)).unwrap();
    assert!(case.names("result").is_empty() && case.names("result-tmp").is_empty());
}

#[test]
fn subvolumes_that_a_step_made_in_its_tree_are_in_what_is_built_on_it_needs_root() {
    let Some(case) = case() else { return };
    let draft = case.draft(1, None);
    for below in ["a", "a/b"] {
        subvolume::create(&draft.rootfs().join(below)).unwrap();
        fs::write(draft.rootfs().join(below).join("file"), below).unwrap();
    }
    subvolume::set_read_only(&draft.rootfs().join("a"), true).unwrap();
    draft.keep().unwrap();
    case.make(2, Some(1));
    for number in [1, 2] {
        assert_eq!(fs::read_to_string(rootfs(&case, number).join("a/b/file")).unwrap(), "a/b");
    }
    assert!(subvolume::nested(&rootfs(&case, 2)).unwrap().is_empty());
    assert!(!case.path("result").join(id(1).as_str()).join("spare").exists());
}

#[test]
fn a_store_of_such_trees_is_taken_for_one_of_directories_and_found_whole_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    case.make(2, Some(1));
    case.store.cache("c".as_ref(), (0, 0)).unwrap().release().unwrap();
    assert_eq!(verify(&case.url(), true).unwrap().flaws, []);
    let again = verify(&case.url(), true).unwrap();
    assert_eq!((again.compared, again.flaws), (2, vec![]));
    // As OBuilder leaves a store: without a word on its kind.
    fs::remove_file(case.path("state/kind")).unwrap();
    let auto = StoreUrl::Auto(case.url().dir().to_owned());
    assert_eq!(auto::choose(&auto).unwrap().url, case.url());
}

#[test]
fn files_are_shared_as_hard_links_on_btrfs_too_needs_root() {
    let Some(mut case) = case() else { return };
    case.make(1, None);
    case.store = open_sharing(&case.url(), Some(Sharing::Hardlink)).unwrap();
    let number = |result| fs::metadata(rootfs(&case, result).join("1")).unwrap().ino();
    // What was made before is a subvolume, which no link leads into.
    case.make(2, Some(1));
    case.make(3, Some(2));
    assert_eq!(number(2), number(3));
    assert!(!is_subvolume(&rootfs(&case, 3)));
    case.reopen();
    case.make(4, Some(3));
    assert!(is_subvolume(&rootfs(&case, 4)));
    assert_eq!(fs::read_to_string(rootfs(&case, 4).join("1")).unwrap(), "file 1");
    assert_eq!(verify(&case.url(), true).unwrap().flaws, []);
    (1..=4).rev().for_each(|number| case.store.delete(&id(number)).unwrap());
    assert!(case.names("result").is_empty());
}
