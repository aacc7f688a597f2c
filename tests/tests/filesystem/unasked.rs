//! What the kernel decides without asking us: known limits, and how far they reach. A test here that fails may
//! mean that a limit has gone.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access, mkfifo};
use obuilder_tests::observe::outcome;
use obuilder_tests::{User, World};

use crate::can_mount;

#[test]
fn bytes_through_a_fifo_arrive_and_leave_its_times_alone() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(41_190);
    let mount = world.mount();
    user.run(|| {
        let fifo = mount.point().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let before = fs::metadata(&fifo).unwrap();
        let mut both = File::options().read(true).write(true).open(&fifo).unwrap();
        both.write_all(b"x").unwrap();
        both.read_exact(&mut [0]).unwrap();
        let after = fs::metadata(&fifo).unwrap();
        assert_eq!((before.mtime_nsec(), before.atime_nsec()), (after.mtime_nsec(), after.atime_nsec()));
    });
}

#[test]
fn access_at_the_root_promises_what_the_tree_then_denies() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (owner, local) = world.resident(41_190);
    let mount = world.mount();
    owner.run(|| {
        fs::set_permissions(&local, PermissionsExt::from_mode(0o555)).unwrap();
        assert_eq!(access(mount.point(), AccessFlags::W_OK), Ok(()));
        assert_eq!(outcome(fs::write(mount.point().join("new"), "x")), "EACCES");
    });
}

/// Has `user` use what `other` has put into the directory `dir`, everybody's and sticky: follow a link, and open
/// a file to create it.
fn used(dir: &Path, user: &User, other: &User) -> (String, String) {
    other.run(|| {
        symlink("/etc/passwd", dir.join("link")).unwrap();
        fs::write(dir.join("file"), "x").unwrap();
        fs::set_permissions(dir.join("file"), PermissionsExt::from_mode(0o666)).unwrap();
    });
    user.run(|| {
        let create =
            File::options().write(true).create(true).truncate(false).mode(0o666).open(dir.join("file"));
        (outcome(fs::metadata(dir.join("link")).map(drop)), outcome(create.map(drop)))
    })
}

#[test]
fn what_is_protected_in_sticky_directories_is_so_below_the_root_and_not_in_it() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, other) = (User::new(41_190), User::new(41_191));
    let mount = world.mount();
    let sticky = |dir: &Path| fs::set_permissions(dir, PermissionsExt::from_mode(0o1777)).unwrap();
    sticky(&world.fallback);
    fs::create_dir(world.fallback.join("below")).unwrap();
    sticky(&world.fallback.join("below"));
    let native = world.scratch.dir("native");
    sticky(&native);
    let ok = "ok ()".to_owned();
    assert_eq!(used(mount.point(), &user, &other), (ok.clone(), ok));
    // As this machine is set: fs.protected_symlinks and fs.protected_regular, proc_sys_fs(5).
    assert_eq!(used(&mount.point().join("below"), &user, &other), used(&native, &user, &other));
}
