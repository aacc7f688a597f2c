//! Names directly below the mount point, asked for again and again: whatever changes shows with the next look.
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use obuilder_tests::observe::outcome;
use obuilder_tests::{World, process};

use crate::can_mount;

/// What `stat` tells of `path`, the number and the times of reading aside.
fn seen(path: &Path) -> String {
    outcome(fs::symlink_metadata(path).map(|stat| {
        (
            stat.mode(),
            stat.uid(),
            stat.nlink(),
            stat.size(),
            (stat.mtime(), stat.mtime_nsec()),
            stat.ctime_nsec(),
        )
    }))
}

#[test]
fn every_change_of_what_was_just_looked_at_shows_at_once() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_620);
    let mount = world.mount();
    let (below, above) = (local.join("x"), mount.point().join("x"));
    let changes: [&dyn Fn(); 12] = [
        &|| fs::create_dir(&below).unwrap(),
        &|| fs::set_permissions(&below, Permissions::from_mode(0o711)).unwrap(),
        &|| fs::create_dir(below.join("child")).unwrap(),
        &|| fs::remove_dir(below.join("child")).unwrap(),
        &|| chown(&below, Some(1), Some(1)).unwrap(),
        &|| fs::rename(&below, local.join("away")).unwrap(),
        &|| fs::write(&below, "bytes").unwrap(),
        &|| fs::write(&below, "more bytes").unwrap(),
        &|| fs::write(local.join("new"), "new").and_then(|()| fs::rename(local.join("new"), &below)).unwrap(),
        &|| fs::hard_link(&below, local.join("hard")).unwrap(),
        &|| fs::remove_file(&below).and_then(|()| symlink("target", &below)).unwrap(),
        &|| {
            fs::remove_file(&below).unwrap();
            fs::remove_file(local.join("hard")).unwrap();
            fs::remove_dir(local.join("away")).unwrap();
        },
    ];
    for round in 0..20 {
        for (number, change) in changes.iter().enumerate() {
            let warm = user.run(|| [seen(&above), seen(&above)]);
            assert_eq!(warm[0], warm[1]);
            change();
            assert_eq!(user.run(|| seen(&above)), seen(&below), "change {number} of round {round}");
        }
    }
}

#[test]
fn reading_moves_the_time_of_access_at_once() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_620);
    user.mkdir(&local.join("dir"));
    fs::write(local.join("dir/file"), "x").unwrap();
    fs::write(local.join("file"), "bytes").unwrap();
    let mount = world.mount();
    let atime = |path: &Path| fs::metadata(path).map(|stat| (stat.atime(), stat.atime_nsec())).unwrap();
    let old = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    // Native directories are read each time; here the kernel keeps a listing as long as nothing changes.
    let list = |round: usize| fs::write(local.join(format!("dir/{round}")), "").map(|()| "dir");
    for round in 0..10 {
        for (name, is_dir) in [(list(round).unwrap(), true), ("file", false)] {
            let (below, above) = (local.join(name), mount.point().join(name));
            fs::File::open(&below).unwrap().set_times(old).unwrap();
            user.run(|| {
                let open = fs::File::open(&above).unwrap();
                assert_eq!([atime(&above), atime(&above)], [(0, 0); 2], "{name} is open");
                if is_dir {
                    assert!(fs::read_dir(&above).unwrap().count() > round);
                } else {
                    assert_eq!(std::io::read_to_string(&open).unwrap(), "bytes");
                }
                assert_eq!(atime(&above), atime(&below), "{name} in round {round}, while open");
                assert_ne!(atime(&above), (0, 0), "{name}");
                drop(open);
            });
            fs::File::open(&below).unwrap().set_times(old).unwrap();
            user.run(|| {
                assert_eq!([atime(&above), atime(&above)], [(0, 0); 2]);
                if !is_dir {
                    assert_eq!(fs::read_to_string(&above).unwrap(), "bytes");
                }
                assert_eq!(atime(&above), atime(&below), "{name} in round {round}");
            });
        }
    }
}

#[test]
fn changes_of_what_lies_above_show_at_once_too() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_620);
    let other = world.home("other", &user);
    fs::write(local.join("f"), "first").unwrap();
    fs::write(other.join("local/f"), "of the other home").unwrap();
    fs::write(world.fallback.join("f"), "the fallback's").unwrap();
    let mount = world.mount();
    let file = mount.point().join("f");
    let read = || outcome(fs::read_to_string(&file));
    // Once anew, and once as it was found before.
    let look = || {
        let (first, again) = user.run(|| (read(), read()));
        assert_eq!(first, again);
        first
    };
    assert_eq!(look(), outcome(Ok("first")));
    fs::set_permissions(&local, Permissions::from_mode(0o600)).unwrap();
    chown(&local, Some(0), Some(0)).unwrap();
    assert!(look().contains("EACCES"), "{}", look());
    chown(&local, Some(user.uid), Some(user.gid)).unwrap();
    fs::set_permissions(&local, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(look(), outcome(Ok("first")));
    let aside = local.with_file_name("aside");
    fs::rename(&local, &aside).unwrap();
    assert!(look().contains("ENOENT"), "{}", look());
    fs::rename(&aside, &local).unwrap();
    assert_eq!(look(), outcome(Ok("first")));
    world.publish(user.uid, &other);
    assert_eq!(look(), outcome(Ok("of the other home")));
    world.retract(user.uid);
    assert_eq!(look(), outcome(Ok("the fallback's")));
    world.publish(user.uid, local.parent().unwrap());
    assert_eq!(look(), outcome(Ok("first")));
    let link = world.scoreboard.join(user.uid.to_string());
    lchown(&link, Some(user.uid), None).unwrap();
    assert_eq!(look(), outcome(Ok("the fallback's")), "only root's links count");
    lchown(&link, Some(0), None).unwrap();
    assert_eq!(look(), outcome(Ok("first")));
}

#[test]
fn a_writer_sees_what_it_wrote_while_others_look_at_it_all_the_time() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_620);
    fs::create_dir(local.join("deep")).unwrap();
    let mount = world.mount();
    let ended = AtomicBool::new(false);
    for dir in ["", "deep"] {
        ended.store(false, Ordering::Relaxed);
        let (below, above) = (local.join(dir), mount.point().join(dir));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    user.run(|| {
                        while !ended.load(Ordering::Relaxed) {
                            (0..4).for_each(|n| _ = fs::metadata(above.join(format!("file{n}"))));
                        }
                    });
                });
            }
            let stale = (0..800).find_map(|round: usize| {
                let name = format!("file{}", round % 4);
                let _ = fs::remove_file(below.join(&name));
                fs::write(below.join(&name), "x".repeat(round)).unwrap();
                let size = user.run(|| fs::metadata(above.join(&name)).map(|stat| stat.len()));
                (size.as_ref().ok() != Some(&(round as u64))).then(|| (round, outcome(size)))
            });
            ended.store(true, Ordering::Relaxed);
            assert_eq!(stale, None, "round, size seen in {dir:?}");
        });
    }
}

#[test]
fn a_mount_below_shows_a_moment_later() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_620);
    fs::create_dir(local.join("disk")).unwrap();
    let mounted = world.mount();
    let seen = || user.run(|| fs::metadata(mounted.point().join("disk")).unwrap().mode() & 0o7777);
    assert_eq!(seen(), 0o755);
    mount(Some("tmpfs"), &local.join("disk"), Some("tmpfs"), MsFlags::empty(), Some("mode=0751")).unwrap();
    let shown = process::eventually(|| seen() == 0o751);
    umount2(&local.join("disk"), MntFlags::MNT_DETACH).unwrap();
    assert!(shown);
}
