//! Homes that are full, read-only, gone, or not there yet: their users are told, and nobody else notices.
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use obuilder_tests::observe::outcome;
use obuilder_tests::{Mount, Need, Unmount, User, World, require};

use crate::can_mount;

/// A user whose home is a file system of its own, and a neighbour.
struct Scene {
    mount: Mount,
    user: User,
    neighbour: User,
    volume: PathBuf,
    world: World,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let (neighbour, local) = world.resident(44_042);
        fs::write(local.join("file"), "fine").unwrap();
        let volume = world.scratch.dir("volume");
        mount(Some("none"), &volume, Some("tmpfs"), MsFlags::empty(), Some("mode=755,size=1m")).unwrap();
        let (user, home) = (User::new(44_041), volume.join("home"));
        user.mkdir(&home);
        user.mkdir(&home.join("local"));
        user.mkdir(&home.join("local/d"));
        user.run(|| fs::write(home.join("local/d/file"), "text").unwrap());
        world.publish(user.uid, &home);
        Self { mount: world.mount(), user, neighbour, volume, world }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.mount.point().join(name)
    }

    fn neighbour_is_fine(&self, when: &str) {
        let read = self.neighbour.run(|| outcome(fs::read_to_string(self.at("file"))));
        assert_eq!(read, "ok \"fine\"", "{when}");
    }

    fn remount(&self, flags: MsFlags) {
        mount(None::<&str>, &self.volume, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
    }
}

#[test]
fn a_full_home_says_so_and_works_again_when_there_is_room() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    scene.user.run(|| {
        let mut file = fs::File::create(scene.at("big")).unwrap();
        let block = vec![7; 64 * 1024];
        let full = (0..64).find_map(|_| file.write_all(&block).err());
        assert_eq!(outcome::<()>(full.map_or(Ok(()), Err)), "ENOSPC");
        let copied = fs::read(scene.at("big")).unwrap();
        assert!(copied.len() > 500_000 && copied.iter().all(|&byte| byte == 7), "{}", copied.len());
        assert_eq!(outcome(fs::write(scene.at("more"), &block)), "ENOSPC");
        scene.neighbour_is_fine("beside a full home");
        fs::remove_file(scene.at("big")).unwrap();
        drop(file);
    });
    let again = obuilder_tests::process::eventually(|| {
        scene.user.run(|| fs::write(scene.at("more"), vec![8; 500_000]).is_ok())
    });
    assert!(again, "the room of a removed file is not given back");
}

#[test]
fn the_blocks_that_are_kept_for_root_stay_roots() {
    if !require(&[Need::Root, Need::Fuse, Need::Tool("mkfs.ext4")]) {
        return;
    }
    let world = World::new();
    let (image, volume) = (world.scratch.path().join("image"), world.scratch.dir("volume"));
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    // Half of it.
    succeeds(Command::new("mkfs.ext4").args(["-q", "-m", "50"]).arg(&image));
    succeeds(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&volume));
    let _mounted = Unmount(volume.clone());
    let (user, home) = (User::new(44_043), volume.join("home"));
    user.mkdir(&home);
    user.mkdir(&home.join("local"));
    world.publish(user.uid, &home);
    let mount = world.mount();
    user.run(|| {
        let mut file = fs::File::create(mount.point().join("big")).unwrap();
        let written = (0..256).take_while(|_| file.write_all(&[7; 64 * 1024]).is_ok()).count();
        assert!((8..128).contains(&written), "{written} times 64 KiB");
    });
}

fn succeeds(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

#[test]
fn a_read_only_home_is_read_and_refuses_every_change() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    scene.remount(MsFlags::MS_RDONLY);
    let changes = |dir: &Path| {
        [
            outcome(fs::read_to_string(dir.join("d/file"))),
            outcome(fs::write(dir.join("new"), "x")),
            outcome(fs::write(dir.join("d/file"), "x")),
            outcome(fs::create_dir(dir.join("d/new"))),
            outcome(fs::remove_file(dir.join("d/file"))),
            outcome(fs::rename(dir.join("d"), dir.join("e"))),
            outcome(fs::hard_link(dir.join("d/file"), dir.join("d/linked"))),
            outcome(std::os::unix::fs::symlink("x", dir.join("d/l"))),
            outcome(nix::unistd::truncate(&dir.join("d/file"), 0).map_err(std::io::Error::from)),
            outcome(fs::set_permissions(
                dir.join("d/file"),
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )),
            outcome(xattr::set(dir.join("d/file"), "user.x", b"y")),
        ]
    };
    let (mounted, native) =
        scene.user.run(|| (changes(scene.mount.point()), changes(&scene.volume.join("home/local"))));
    assert_eq!(mounted, native);
    assert!(mounted[1..].iter().all(|result| result == "EROFS"), "{mounted:?}");
    scene.neighbour_is_fine("beside a read-only home");
    scene.remount(MsFlags::empty());
    assert_eq!(scene.user.run(|| outcome(fs::write(scene.at("d/file"), "again"))), "ok ()");
}

#[test]
fn a_home_that_is_unmounted_under_its_user_is_gone_for_it_alone() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let open = scene.user.run(|| fs::File::open(scene.at("d/file")).unwrap());
    umount2(&scene.volume, MntFlags::MNT_DETACH).unwrap();
    // What is open stays; the link leads nowhere, but the view that was made by it goes on.
    assert_eq!(std::io::read_to_string(&open).unwrap(), "text");
    scene.neighbour_is_fine("beside a home that was unmounted");
    scene.world.retract(scene.user.uid);
    assert_eq!(scene.user.run(|| outcome(fs::read(scene.at("d/file")))), "ENOENT");
    scene.world.publish(scene.user.uid, &scene.volume.join("home"));
    assert_eq!(
        scene.user.run(|| outcome(fs::read(scene.at("d/file")))),
        "ENOENT",
        "a link that leads nowhere"
    );
    let home = scene.world.home("44041", &scene.user);
    scene.user.run(|| fs::write(home.join("local/which"), "new").unwrap());
    scene.world.publish(scene.user.uid, &home);
    assert_eq!(scene.user.run(|| outcome(fs::read_to_string(scene.at("which")))), "ok \"new\"");
}

#[test]
fn a_home_that_is_removed_is_gone_for_its_user_alone_until_it_is_made_again() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let home = scene.world.home("44041", &scene.user);
    scene.world.publish(scene.user.uid, &home);
    scene.user.run(|| fs::write(scene.at("file"), "x").unwrap());
    fs::remove_dir_all(&home).unwrap();
    for _ in 0..3 {
        let tried = scene.user.run(|| {
            [
                outcome(fs::read(scene.at("file"))),
                outcome(fs::write(scene.at("new"), "x")),
                outcome(fs::read_dir(scene.mount.point()).map(Iterator::count)),
            ]
        });
        assert_eq!(tried, ["ENOENT", "ENOENT", "ENOENT"]);
        scene.neighbour_is_fine("beside a home that was removed");
    }
    scene.world.home("44041", &scene.user);
    scene.world.publish(scene.user.uid, &home);
    assert_eq!(scene.user.run(|| outcome(fs::write(scene.at("new"), "x"))), "ok ()");
}

#[test]
fn a_local_directory_made_anew_is_the_one_that_is_shown() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let local = scene.volume.join("home/local");
    assert_eq!(scene.user.run(|| outcome(fs::read_to_string(scene.at("d/file")))), "ok \"text\"");
    fs::rename(&local, scene.volume.join("home/old")).unwrap();
    assert_eq!(scene.user.run(|| outcome(fs::read_to_string(scene.at("d/file")))), "ENOENT");
    scene.user.mkdir(&local);
    scene.user.run(|| fs::write(local.join("made"), "anew").unwrap());
    assert_eq!(scene.user.run(|| outcome(fs::read_to_string(scene.at("made")))), "ok \"anew\"");
    assert_eq!(scene.user.run(|| outcome(fs::read_to_string(scene.at("d/file")))), "ENOENT");
}
