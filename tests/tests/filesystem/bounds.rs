//! What the daemon holds is bounded, and comes back. `OBUILDER_TESTS_NODES` asks for more than some files.
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::mount::{MsFlags, mount};
use nix::sys::resource::Resource;
use obuilder_tests::process::eventually;
use obuilder_tests::{Mount, User, World};

use crate::can_mount;

/// Resident memory of process `id` in bytes.
fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn descriptors(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// User `uid`, whose home is in memory: there files are quickly made.
fn resident(world: &World, uid: u32) -> (User, PathBuf) {
    let volume = world.scratch.dir("volume");
    let options = "mode=755,nr_inodes=2000000,size=8g";
    mount(Some("none"), &volume, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
    let (user, home) = (User::new(uid), volume.join("home"));
    for dir in [&home, &home.join("local"), &home.join("local/tree"), &home.join("local/small")] {
        user.mkdir(dir);
    }
    world.publish(uid, &home);
    (user, home.join("local"))
}

/// `count` empty files, a thousand in a directory.
fn plant(dir: &Path, count: usize) {
    for thousand in 0..count.div_ceil(1000) {
        let below = dir.join(format!("d{thousand}"));
        fs::create_dir(&below).unwrap();
        for file in 0..1000.min(count - thousand * 1000) {
            File::create(below.join(format!("f{file}"))).unwrap();
        }
    }
}

/// Looks at every file; gives how many there are.
fn walk(dir: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            files += walk(&path);
        } else {
            files += 1;
        }
    }
    files
}

/// Has the kernel forget what it can of names and objects.
fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
}

fn limit_descriptors(mount: &Mount, limit: u64) {
    let id = i32::try_from(mount.id()).unwrap();
    obuilder_tests::process::limit(id, Resource::RLIMIT_NOFILE, limit).unwrap();
}

#[test]
fn memory_and_descriptors_are_bounded_and_come_back_when_the_kernel_forgets() {
    if !can_mount() {
        return;
    }
    let count = env::var("OBUILDER_TESTS_NODES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let world = World::new();
    let (user, local) = resident(&world, 44_051);
    plant(&local.join("tree"), count);
    let mount = world.mount();
    // Everything that is needed once is there after a look at something else.
    plant(&local.join("small"), 5000);
    user.run(|| walk(&mount.point().join("small")));
    drop_caches();
    let (before, open_before) = (memory(mount.id()), descriptors(mount.id()));
    let walked = user.run(|| walk(&mount.point().join("tree")));
    assert_eq!(walked, count);
    let (during, open_during) = (memory(mount.id()), descriptors(mount.id()));
    let per_node = during.saturating_sub(before) / count as u64;
    println!("{count} nodes: {per_node} bytes each, {open_before} descriptors before, {open_during} after");
    assert!(per_node <= 150, "{per_node} bytes per node");
    assert!(open_during < 6000, "{open_during} descriptors");
    let slack = 4 * 1024 * 1024;
    let back = eventually(|| {
        drop_caches();
        memory(mount.id()) < before + slack && descriptors(mount.id()) < open_before + 50
    });
    let (after, open_after) = (memory(mount.id()), descriptors(mount.id()));
    assert!(back, "memory {before} before, {after} after; descriptors {open_before}, {open_after}");
}

#[test]
fn a_tree_larger_than_the_limit_of_open_files_is_walked_and_worked_in() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = resident(&world, 44_052);
    plant(&local.join("tree"), 12_000);
    let mount = world.mount();
    limit_descriptors(&mount, 5000);
    user.run(|| {
        let tree = mount.point().join("tree");
        // Known to the kernel, all of them: open descriptors that only name them.
        assert_eq!(walk(&tree), 12_000);
        assert_eq!(walk(&tree), 12_000);
        for file in 0..12_000 {
            let path = tree.join(format!("d{}/f{}", file / 1000, file % 1000));
            assert!(fs::read(&path).is_ok_and(|bytes| bytes.is_empty()), "{}", path.display());
        }
        fs::write(mount.point().join("made"), "x").unwrap();
    });
    assert!(mount.log().is_empty(), "{}", mount.log());
}

#[test]
fn removed_files_that_nobody_has_open_keep_no_descriptor() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(44_053);
    let mount = world.mount();
    let began = Instant::now();
    user.run(|| {
        fs::create_dir(mount.point().join("d")).unwrap();
        for round in 0..1500 {
            let path = mount.point().join(format!("d/{round}"));
            fs::write(&path, "x").unwrap();
            fs::remove_file(&path).unwrap();
        }
    });
    let few = eventually(|| descriptors(mount.id()) < 100);
    assert!(few, "{} descriptors {:?} after", descriptors(mount.id()), began.elapsed());
}
