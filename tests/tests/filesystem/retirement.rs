//! Homes whose links are gone: nothing keeps them busy.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::mount::{MsFlags, mount, umount};
use obuilder_tests::{User, World, process};

use crate::can_mount;

/// A home on a file system of its own, used through the shared mount; then `let_go` happens to the user, whose tree is
/// shown there.
fn unmounts_after(let_go: impl FnOnce(&World, &User, &Path)) {
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
        fs::create_dir_all(mounted.point().join("a/below/b")).unwrap();
        fs::rename(mounted.point().join("a/below"), mounted.point().join("moved")).unwrap();
        assert_eq!(fs::read_dir(mounted.point().join("a/b")).unwrap().count(), 1);
    });
    assert!(umount(&volume).is_err(), "in use while it has a link");
    let_go(&world, &user, mounted.point());
    assert!(process::eventually(|| umount(&volume).is_ok()), "{} is busy", volume.display());
}

#[test]
fn a_home_can_be_unmounted_once_its_link_is_removed() {
    unmounts_after(|world, user, _| world.retract(user.uid));
}

#[test]
fn a_home_can_be_unmounted_once_its_link_leads_elsewhere() {
    unmounts_after(|world, user, _| {
        let other = world.scratch.dir("other");
        user.mkdir(&other.join("local"));
        world.publish(user.uid, &other);
    });
}

#[test]
fn a_home_can_be_unmounted_once_the_last_has_left_it_who_was_there_when_its_link_went() {
    unmounts_after(|world, user, point| {
        // One stands where the kernel drops the name, the other below.
        let [above, below] = ["a", "a/b"].map(|dir| Standing::in_directory(user, &point.join(dir)));
        let names_no_more =
            || fs::read_link(above.cwd()).is_ok_and(|cwd| cwd.to_string_lossy().ends_with("(deleted)"));
        world.retract(user.uid);
        assert!(process::eventually(names_no_more), "{:?}", fs::read_link(above.cwd()));
        assert!(fs::read_dir(below.cwd()).is_ok(), "whoever is in it stays in it");
    });
}

/// A process that does nothing but stand somewhere.
struct Standing(Child);

impl Standing {
    fn in_directory(user: &User, directory: &Path) -> Self {
        let mut command = Command::new("sleep");
        Self(user.run(|| command.arg("600").current_dir(directory).spawn().unwrap()))
    }

    fn cwd(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/cwd", self.0.id()))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
