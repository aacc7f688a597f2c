//! What a listing tells the kernel besides names: it spares look-ups to those who would look everything up, and
//! costs those who would not nothing.
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use obuilder_tests::process::eventually;
use obuilder_tests::{Mount, User, World, binary};

use crate::can_mount;

const DIRS: u64 = 40;
const FILES: u64 = 50;

fn plant(dir: &Path) {
    for number in 0..DIRS {
        let below = dir.join(format!("tree/{number}"));
        fs::create_dir_all(&below).unwrap();
        for file in 0..FILES {
            fs::write(below.join(file.to_string()), file.to_string()).unwrap();
        }
    }
}

/// The number under `key` in the part of what the daemon says of itself that holds `part`.
fn number(mount: &Mount, part: &str, key: &str) -> u64 {
    let out =
        Command::new(binary::obuilderfs()).args(["status", "--json"]).arg(mount.point()).output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let Some(part) = said.split(['{', '}']).find(|text| text.contains(part)) else { return 0 };
    let (_, after) = part.split_once(&format!("\"{key}\":")).unwrap();
    after.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty()).unwrap().parse().unwrap()
}

fn look_ups(mount: &Mount) -> u64 {
    number(mount, "\"lookup\"", "count")
}

fn nodes(mount: &Mount) -> u64 {
    number(mount, "\"nodes\"", "nodes")
}

/// Lists each directory, and looks at every entry if `look`. By paths that do not start at the mount point, for
/// those ask each time.
fn walk(point: &Path, look: bool) {
    std::env::set_current_dir(point.join("tree")).unwrap();
    for number in 0..DIRS {
        let entries: Vec<_> = fs::read_dir(number.to_string()).unwrap().map(Result::unwrap).collect();
        assert_eq!(entries.len() as u64, FILES);
        for entry in entries.iter().filter(|_| look) {
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            assert_eq!(meta.ino(), entry.ino());
            assert_eq!(meta.len(), entry.file_name().len() as u64);
        }
    }
}

/// A world with a planted tree of the user, and its mount, which goes first when they are bound in this order.
fn planted() -> (World, User, Mount) {
    let world = World::new();
    let (user, local) = world.resident(41_134);
    user.run(|| plant(&local));
    let mount = world.mount();
    (world, user, mount)
}

#[test]
fn who_looks_at_everything_is_spared_most_look_ups() {
    if !can_mount() {
        return;
    }
    let (_world, user, mount) = planted();
    let before = look_ups(&mount);
    user.run(|| walk(mount.point(), true));
    let look_ups = look_ups(&mount) - before;
    assert!(look_ups < DIRS * FILES / 5, "{look_ups} look-ups of {} files", DIRS * FILES);
}

#[test]
fn who_reads_names_alone_has_nothing_looked_up() {
    if !can_mount() {
        return;
    }
    let (_world, user, mount) = planted();
    user.run(|| walk(mount.point(), false));
    let nodes = nodes(&mount);
    assert!(nodes < DIRS + 20, "{nodes} nodes of {DIRS} directories");
}

#[test]
fn what_was_looked_up_with_a_listing_is_forgotten_with_it() {
    if !can_mount() {
        return;
    }
    let (_world, user, mount) = planted();
    user.run(|| walk(mount.point(), true));
    assert!(nodes(&mount) > DIRS * FILES, "{} nodes", nodes(&mount));
    // Each count of the kernel's has to be one of ours: a node counted once too often would stay.
    let gone = eventually(|| {
        fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
        nodes(&mount) < 10
    });
    assert!(gone, "{} nodes", nodes(&mount));
}

#[test]
fn the_root_lists_each_user_its_own_names_and_hands_out_no_objects() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let users: Vec<_> = [41_134, 41_135].map(|uid| world.resident(uid)).into();
    for (user, local) in &users {
        for file in 0..FILES {
            fs::write(local.join(file.to_string()), user.uid.to_string()).unwrap();
        }
    }
    let mount = world.mount();
    for _ in 0..5 {
        for (user, _) in &users {
            user.run(|| {
                for entry in fs::read_dir(mount.point()).unwrap().map(Result::unwrap) {
                    assert_eq!(fs::read_to_string(entry.path()).unwrap(), user.uid.to_string());
                }
            });
        }
    }
}
