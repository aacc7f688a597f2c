//! When a file was made, as `statx(2)` tells it.
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use obuilder_tests::{Twin, Unmount, User, World, nameless};

use crate::can_mount;

fn born(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).unwrap().created().ok()
}

const NAMES: [&str; 5] = ["file", "dir", "dir/inside", "link", "fifo"];

fn make(dir: &Path) {
    fs::create_dir(dir.join("dir")).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    fs::write(dir.join("dir/inside"), "x").unwrap();
    symlink("file", dir.join("link")).unwrap();
    nix::unistd::mkfifo(&dir.join("fifo"), Mode::S_IRWXU).unwrap();
}

#[test]
fn everything_has_the_birth_time_that_it_has_below() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_132);
    twin.user.run(|| make(&twin.mounted));
    for name in NAMES {
        let below = born(&twin.backing.join(name));
        assert!(below.is_some(), "the file system below keeps none");
        assert_eq!(twin.user.run(|| born(&twin.mounted.join(name))), below, "{name}");
    }
}

#[test]
fn a_birth_time_stays_when_everything_else_changes() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_132);
    twin.user.run(|| {
        make(&twin.mounted);
        let (file, moved) = (twin.mounted.join("dir/inside"), twin.mounted.join("dir/moved"));
        let before = born(&file);
        fs::write(&file, "other").unwrap();
        fs::rename(&file, &moved).unwrap();
        File::options().write(true).open(&moved).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(fs::metadata(&moved).unwrap().mtime(), 0);
        assert_eq!((born(&moved), before.is_some()), (before, true));
        // Another file under the name has another.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(twin.mounted.join("dir/next"), "x").unwrap();
        fs::rename(twin.mounted.join("dir/next"), &moved).unwrap();
        assert_ne!(born(&moved), before);
    });
}

#[test]
fn open_files_with_and_without_a_name_have_theirs() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_132);
    twin.user.run(|| {
        let born = |file: &File| file.metadata().unwrap().created().ok();
        let (named, nameless) = (
            File::create(twin.mounted.join("file")).unwrap(),
            nameless::create(&twin.mounted, 0o600).unwrap(),
        );
        assert_eq!(born(&named), fs::metadata(twin.backing.join("file")).unwrap().created().ok());
        fs::remove_file(twin.mounted.join("file")).unwrap();
        let present = SystemTime::now();
        for file in [&named, &nameless] {
            let age = present.duration_since(born(file).unwrap()).unwrap_or_default();
            assert!(age.as_secs() < 60, "{age:?}");
        }
    });
}

#[test]
fn the_root_shows_everyone_the_same_birth_time() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let users: Vec<_> = [41_132, 41_133].map(|uid| world.resident(uid).0).into();
    let mount = world.mount();
    for user in &users {
        assert_eq!(user.run(|| born(mount.point())), Some(SystemTime::UNIX_EPOCH));
    }
}

#[test]
fn where_the_file_system_below_keeps_none_none_is_shown() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, home) = (User::new(41_132), world.scratch.dir("home"));
    nix::mount::mount(Some("none"), &home, Some("ramfs"), MsFlags::empty(), None::<&str>).unwrap();
    let _mounted = Unmount(home.clone());
    user.mkdir(&home);
    user.mkdir(&home.join("local"));
    world.publish(user.uid, &home);
    let mount = world.mount();
    user.run(|| {
        let file = mount.point().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(born(&home.join("local/file")), None, "below");
        assert_eq!(born(&file), None, "through the mount");
        assert_eq!(fs::metadata(&file).unwrap().len(), 1);
    });
}
