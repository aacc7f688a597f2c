//! Homes whose links are gone: nothing keeps them busy.
use std::fs;

use nix::mount::{MsFlags, mount, umount};
use obuilder_tests::mountinfo::wait_until;
use obuilder_tests::process::LIMIT;
use obuilder_tests::{User, World};

use crate::can_mount;

/// A home on a file system of its own, used through the shared mount; then `let_go` happens.
fn unmounts_after(let_go: impl FnOnce(&World, &User)) {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let user = User::new(41_195);
    let volume = world.scratch.dir("volume");
    mount(Some("none"), &volume, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
    let home = volume.join("home");
    user.mkdir(&home);
    user.mkdir(&home.join("local"));
    world.publish(user.uid, &home);
    let mounted = world.mount();
    user.run(|| {
        fs::create_dir_all(mounted.point().join("a/b/c")).unwrap();
        fs::write(mounted.point().join("a/b/c/file"), "x").unwrap();
        fs::write(mounted.point().join("file"), "x").unwrap();
        assert_eq!(fs::read_dir(mounted.point().join("a/b")).unwrap().count(), 1);
    });
    assert!(umount(&volume).is_err(), "in use while it has a link");
    let_go(&world, &user);
    let unmounted = wait_until(None, LIMIT, || umount(&volume).is_ok());
    assert!(unmounted, "{} is busy", volume.display());
}

#[test]
fn a_home_can_be_unmounted_once_its_link_is_removed() {
    unmounts_after(|world, user| world.retract(user.uid));
}

#[test]
fn a_home_can_be_unmounted_once_its_link_leads_elsewhere() {
    unmounts_after(|world, user| {
        let other = world.scratch.dir("other");
        user.mkdir(&other.join("local"));
        world.publish(user.uid, &other);
    });
}
