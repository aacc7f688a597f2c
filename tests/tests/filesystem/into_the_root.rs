//! What moves from below into the root of the mount: there the same name is another user's in the next look-up.
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use obuilder_tests::observe::outcome;
use obuilder_tests::{Twin, User, World};

use crate::can_mount;

/// The mount point, and the directory that its owner sees there.
struct Scene<'a> {
    point: &'a Path,
    home: PathBuf,
}

impl Scene<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.point.join(name)
    }

    /// Files and directories that the kernel knows under their names below.
    fn prepare(&self) {
        fs::create_dir_all(self.at("d/dir")).unwrap();
        for name in ["d/dir/mine", "d/file", "d/linked"] {
            fs::write(self.at(name), "one").unwrap();
            fs::read(self.at(name)).unwrap();
        }
        fs::hard_link(self.at("d/linked"), self.at("link")).unwrap();
    }

    fn rename(&self, from: &str, to: &str, flags: RenameFlags) {
        let (from, to) = (self.at(from), self.at(to));
        renameat2(AT_FDCWD, &from, AT_FDCWD, &to, flags)
            .unwrap_or_else(|e| panic!("{} to {}: {e}", from.display(), to.display()));
    }

    fn clear(&self) {
        for entry in fs::read_dir(self.point).unwrap() {
            let path = entry.unwrap().path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// One user does `act` with what [`Scene::prepare`] has made. It then finds `names`, holding `one`, and others
/// do not.
fn stays_its_owners(names: &[&str], act: impl Fn(&Scene<'_>) + Sync) {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let ((one, home), (two, _)) = (world.resident(44_011), world.resident(44_012));
    let mount = world.mount();
    let scene = Scene { point: mount.point(), home };
    let read = |user: &User, name: &str| user.run(|| outcome(fs::read_to_string(scene.at(name))));
    for _ in 0..5 {
        one.run(|| {
            scene.prepare();
            act(&scene);
        });
        for name in names.iter().chain(names) {
            assert_eq!(read(&two, name), "ENOENT", "{name}, to a neighbour");
            assert_eq!(read(&one, name), "ok \"one\"", "{name}, to its owner");
        }
        one.run(|| scene.clear());
    }
}

#[test]
fn a_file_and_a_directory_moved_into_the_root_stay_their_owners() {
    stays_its_owners(&["file", "dir/mine"], |scene| {
        scene.rename("d/file", "file", RenameFlags::empty());
        scene.rename("d/dir", "dir", RenameFlags::RENAME_NOREPLACE);
    });
}

#[test]
fn what_came_into_the_root_by_exchange_stays_its_owners() {
    stays_its_owners(&["file", "dir/mine"], |scene| {
        fs::write(scene.at("file"), "x").unwrap();
        fs::create_dir(scene.at("dir")).unwrap();
        scene.rename("d/file", "file", RenameFlags::RENAME_EXCHANGE);
        scene.rename("dir", "d/dir", RenameFlags::RENAME_EXCHANGE);
    });
}

#[test]
fn a_hard_link_of_what_is_in_the_root_stays_its_owners_when_it_comes_there_too() {
    stays_its_owners(&["other", "link"], |scene| scene.rename("d/linked", "other", RenameFlags::empty()));
}

#[test]
fn a_directory_moved_into_the_root_behind_the_mount_stays_its_owners() {
    stays_its_owners(&["dir/mine"], |scene| {
        fs::rename(scene.home.join("d/dir"), scene.home.join("dir")).unwrap();
        fs::read(scene.at("dir/mine")).unwrap();
    });
}

#[test]
fn what_goes_down_and_comes_up_again_stays_its_owners() {
    stays_its_owners(&["dir/mine", "file"], |scene| {
        for _ in 0..3 {
            scene.rename("d/dir", "dir", RenameFlags::empty());
            scene.rename("d/file", "file", RenameFlags::empty());
            fs::read(scene.at("dir/mine")).unwrap();
            scene.rename("dir", "d/dir", RenameFlags::empty());
            scene.rename("file", "d/file", RenameFlags::empty());
            fs::read(scene.at("d/dir/mine")).unwrap();
            fs::read(scene.at("d/file")).unwrap();
        }
        scene.rename("d/dir", "dir", RenameFlags::empty());
        scene.rename("d/file", "file", RenameFlags::empty());
    });
}

#[test]
fn what_is_open_or_stood_in_goes_on_when_it_is_moved_into_the_root() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(44_005);
    twin.same(|dir| {
        fs::create_dir_all(dir.join("d/dir/deeper")).unwrap();
        fs::write(dir.join("d/file"), "text").unwrap();
        let file = fs::OpenOptions::new().read(true).append(true).open(dir.join("d/file")).unwrap();
        std::env::set_current_dir(dir.join("d/dir/deeper")).unwrap();
        fs::rename(dir.join("d/file"), dir.join("file")).unwrap();
        fs::rename(dir.join("d/dir"), dir.join("dir")).unwrap();
        io::Write::write_all(&mut &file, b" and more").unwrap();
        fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
        let seen = file.metadata().map(|meta| (meta.permissions().mode(), meta.len()));
        fs::write("made", "here").unwrap();
        fs::write("../made", "above").unwrap();
        let above = outcome(fs::read_to_string(dir.join("dir/made")));
        fs::remove_file(dir.join("file")).unwrap();
        (outcome(seen), above, outcome(io::read_to_string(&file)), outcome(file.metadata().map(|m| m.len())))
    });
}

#[test]
fn what_others_exchange_meanwhile_is_moved_into_the_root_all_the_same() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(44_011);
    let mount = world.mount();
    let at = |name: &str| mount.point().join(name);
    let rename = |from: &str, to: &str, flags| renameat2(AT_FDCWD, &at(from), AT_FDCWD, &at(to), flags);
    // While the directories change places this may fail.
    let make = || ["d/x", "d/y", "e/x", "e/y"].iter().for_each(|name| drop(fs::create_dir_all(at(name))));
    user.run(make);
    let done = AtomicBool::new(false);
    let stale = std::thread::scope(|scope| {
        for (one, two) in [("d/x", "d/y"), ("d/x", "e/x"), ("d", "e")] {
            let (done, user, rename) = (&done, &user, &rename);
            scope.spawn(move || {
                user.run(|| {
                    while !done.load(Ordering::Relaxed) {
                        let _ = (fs::metadata(at(one)), fs::metadata(at(two)));
                        let _ = rename(one, two, RenameFlags::RENAME_EXCHANGE);
                    }
                });
            });
        }
        let stale = user.run(|| {
            (0..500).find_map(|_| {
                let there = rename("d/x", "x", RenameFlags::empty());
                let back = rename("x", "d/x", RenameFlags::empty());
                // The directories may have changed places in between.
                make();
                [there, back].into_iter().find(|result| *result == Err(Errno::ESTALE))
            })
        });
        done.store(true, Ordering::Relaxed);
        stale
    });
    assert_eq!(stale, None);
}
