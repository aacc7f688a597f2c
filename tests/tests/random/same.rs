//! All through the mount, all natively: the same.
use std::path::Path;

use nix::mount::{MsFlags, mount};
use obuilder_tests::Twin;
use obuilder_tests::observe::describe_tree;
use obuilder_tests::random::Random;

use crate::operation::{GROUPS, Operation};
use crate::{can_mount, rounds};

const LENGTH: usize = 400;

/// Plays the sequence number `round` in both directories as the twin's user.
fn play(twin: &Twin, mounted: &Path, round: u64) {
    let mut random = Random::new(round);
    let operations: Vec<Operation> = (0..LENGTH).map(|_| Operation::any(&mut random)).collect();
    twin.user.run(|| {
        let (mut there, mut here) = ([None, None, None], [None, None, None]);
        for (step, operation) in operations.iter().enumerate() {
            let found = operation.act(mounted, &mut there);
            let expected = operation.act(&twin.native, &mut here);
            assert_eq!(
                found,
                expected,
                "round {round}, step {step}: {operation:?}, in {:#?}",
                &operations[..step]
            );
        }
    });
    assert_eq!(describe_tree(&twin.backing), describe_tree(&twin.native), "below, round {round}");
    assert_eq!(describe_tree(mounted), describe_tree(&twin.native), "as shown, round {round}");
    for dir in [mounted, &twin.native] {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let removed = if path.is_symlink() || !path.is_dir() {
                std::fs::remove_file(&path)
            } else {
                std::fs::remove_dir_all(&path)
            };
            removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

#[test]
fn random_sequences_through_a_private_view_do_what_they_do_natively() {
    if !can_mount() {
        return;
    }
    let twin = Twin::with_groups(45_001, &GROUPS);
    let private = twin.world().scratch.dir("private");
    let view = twin.mounted.join(".obuilderfs/45001-random/local");
    mount(Some(&view), &private, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    (0..rounds(20)).for_each(|round| play(&twin, &private, round));
}

#[test]
fn random_sequences_through_the_shared_mount_do_what_they_do_natively() {
    if !can_mount() {
        return;
    }
    let twin = Twin::with_groups(45_002, &GROUPS);
    // Root's link leads to the same home: what it is shown at the end is what the user sees.
    twin.world().publish(0, twin.backing.parent().unwrap());
    (100..100 + rounds(20)).for_each(|round| play(&twin, &twin.mounted, round));
}
