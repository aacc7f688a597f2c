//! What is kept, and what is not.
use std::os::unix::ffi::OsStrExt;

use super::*;

fn what_is_kept_is_found_with_its_tree_log_and_environment(kind: Kind) {
    let case = Case::new(kind);
    assert!(!case.found(1));
    let kept = case.make(1, None);
    let found = case.store.find(&id(1)).unwrap().unwrap();
    assert_eq!(*found.tree().unwrap(), *kept.tree().unwrap());
    assert_eq!(fs::read_to_string(found.tree().unwrap().join("1")).unwrap(), "file 1");
    assert_eq!(fs::read_to_string(found.log()).unwrap(), "log 1");
    assert_eq!(fs::read_to_string(found.env()).unwrap(), "((env ((PATH /bin))))");
    assert!(matches!(case.store.claim(&id(1), None).unwrap(), Claim::Cached(_)));
    assert!(case.names("result-tmp").is_empty());
}

fn a_draft_starts_as_its_base_without_the_log_and_leaves_the_base_alone(kind: Kind) {
    let case = Case::new(kind);
    let base = case.make(1, None);
    let before = facts(&base.tree().unwrap());
    let draft = case.draft(2, Some(1));
    assert_eq!(facts(&draft.rootfs()), before);
    assert_eq!(fs::read_to_string(draft.env()).unwrap(), "((env ((PATH /bin))))");
    assert!(!draft.log().exists());
    fs::write(draft.rootfs().join("1"), "changed").unwrap();
    fs::write(draft.rootfs().join("new"), "new").unwrap();
    draft.keep().unwrap();
    assert_eq!(facts(&base.tree().unwrap()), before);
}

fn a_dropped_draft_leaves_nothing(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    drop(case.draft(2, Some(1)));
    assert!(case.names("result-tmp").is_empty());
    assert!(!case.found(2));
    assert_eq!(case.rows(), [row(1, 0, None)]);
    case.make(2, Some(1));
}

fn a_base_that_is_not_there_is_named_and_nothing_is_left(kind: Kind) {
    let case = Case::new(kind);
    let error = case.store.claim(&id(2), Some(&id(1))).err().unwrap().to_string();
    let dir = case.store.dir().display();
    assert_eq!(error, format!("the store {dir} has no result {} to build on", id(1)));
    assert!(case.names("result-tmp").is_empty());
    assert!(case.store.try_claim(&id(2), None).unwrap().is_some());
}

fn a_result_that_is_not_whole_is_made_again(kind: Kind) {
    let case = Case::new(kind);
    case.site.leave_half(1);
    assert!(!case.found(1));
    let made = case.make(1, None);
    assert_eq!(fs::read_to_string(made.log()).unwrap(), "log 1");
}

fn a_long_chain_of_steps_has_what_each_of_them_made(kind: Kind) {
    // More than one tree has layers; zfs-fuse takes its time, and knows no such number.
    let steps = if kind == Kind::Zfs { 50 } else { 200 };
    let case = Case::new(kind);
    for number in 1..=steps {
        case.make(number, (number > 1).then(|| number - 1));
    }
    let last = tree(&*case.store, steps);
    assert_eq!(fs::read_dir(&last).unwrap().count(), usize::from(steps));
    assert_eq!(fs::read_to_string(last.join("1")).unwrap(), "file 1");
    assert_eq!(case.rows().len(), usize::from(steps));
    drop(last);
    assert_eq!(crate::store::removal::delete(&*case.store, &id(1), |_| ()).unwrap(), usize::from(steps));
    assert!(case.names("result").is_empty());
}

fn names_of_odd_bytes_and_all_kinds_of_files_stay_as_they_are(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    let odd = OsStr::from_bytes(b"\xff\n \\'\"\x01");
    fs::create_dir(draft.rootfs().join(odd)).unwrap();
    fs::write(draft.rootfs().join(odd).join(odd), "odd").unwrap();
    std::os::unix::fs::symlink(odd, draft.rootfs().join("link")).unwrap();
    fs::hard_link(draft.rootfs().join(odd).join(odd), draft.rootfs().join("again")).unwrap();
    nix::unistd::mkfifo(&draft.rootfs().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let before = facts(&draft.rootfs());
    let kept = draft.keep().unwrap();
    assert_eq!(facts(&kept.tree().unwrap()), before);
    assert_eq!(facts(&case.draft(2, Some(1)).rootfs()), before);
}

on_each_backend! {
    what_is_kept_is_found_with_its_tree_log_and_environment
    a_draft_starts_as_its_base_without_the_log_and_leaves_the_base_alone
    a_dropped_draft_leaves_nothing
    a_base_that_is_not_there_is_named_and_nothing_is_left
    a_result_that_is_not_whole_is_made_again
    a_long_chain_of_steps_has_what_each_of_them_made
    names_of_odd_bytes_and_all_kinds_of_files_stay_as_they_are
}
