//! What results of plain directories share as hard links.
use std::os::unix::fs::MetadataExt;

use super::*;

fn blocks_and_numbers(kind: Kind) -> (u64, usize) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    for number in 0..20 {
        fs::write(draft.rootfs().join(number.to_string()), vec![number; 8192]).unwrap();
    }
    draft.keep().unwrap();
    for number in 2..=5 {
        let draft = case.draft(number, Some(number - 1));
        fs::write(draft.rootfs().join("changed"), number.to_string()).unwrap();
        draft.keep().unwrap();
    }
    let mut files = std::collections::HashMap::new();
    for number in 1..=5 {
        for entry in fs::read_dir(tree(&*case.store, number)).unwrap() {
            let found = entry.unwrap().metadata().unwrap();
            files.insert(found.ino(), found.blocks());
        }
    }
    (files.values().sum(), files.len())
}

#[test]
fn files_that_no_step_changed_are_there_once() {
    let (copied, copies) = blocks_and_numbers(Kind::Directories);
    assert_eq!(copies, 20 * 5 + 4);
    for kind in [Kind::Hardlinks, Kind::HardlinksUnsafe] {
        let (shared, files) = blocks_and_numbers(kind);
        assert_eq!(files, 20 + 4);
        assert!(shared < copied / 4, "{shared} of {copied} blocks");
    }
}

/// A step that writes into a file must not write into its base's.
#[test]
fn a_draft_shares_no_file_with_its_base() {
    let case = Case::new(Kind::Hardlinks);
    case.make(1, None);
    case.make(2, Some(1));
    let draft = case.draft(3, Some(2));
    assert_eq!(fs::metadata(draft.rootfs().join("1")).unwrap().nlink(), 1);
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().append(true).open(draft.rootfs().join("1")).unwrap();
    file.write_all(b" and more").unwrap();
    drop(file);
    draft.keep().unwrap();
    assert_eq!(fs::read_to_string(tree(&*case.store, 1).join("1")).unwrap(), "file 1");
    assert_eq!(fs::read_to_string(tree(&*case.store, 3).join("1")).unwrap(), "file 1 and more");
}
