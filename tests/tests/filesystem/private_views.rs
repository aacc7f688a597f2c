//! `MOUNTPOINT/.obuilderfs/<uid>-<token>`: one user's home and prefix, bound into a namespace of their own.
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use obuilder_tests::observe::outcome;
use obuilder_tests::user::outside;
use obuilder_tests::{Mount, User, World, process};

use crate::can_mount;

/// A mounted world with one resident, and places to bind a home and a prefix.
struct Place {
    mount: Mount,
    user: User,
    home: PathBuf,
    at_home: PathBuf,
    at_prefix: PathBuf,
    world: World,
}

impl Place {
    fn new(uid: u32) -> Self {
        let world = World::new();
        let (user, local) = world.resident(uid);
        let home = local.parent().unwrap().to_owned();
        let (at_home, at_prefix) = (world.scratch.dir("build-home"), world.scratch.dir("prefix"));
        Self { mount: world.mount(), user, home, at_home, at_prefix, world }
    }

    fn view(&self, token: &str) -> PathBuf {
        self.mount.point().join(".obuilderfs").join(format!("{}-{token}", self.user.uid))
    }

    /// Runs `code` as the user in a mount namespace of its own, where the private view `token` is bound over the
    /// build home and its `local` over the prefix.
    fn inside<T: Send>(&self, token: &str, code: impl FnOnce() -> T + Send) -> T {
        self.in_namespace(|| {
            let bind = |from: &Path, to: &Path| {
                mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                    .unwrap_or_else(|e| panic!("bind {} over {}: {e}", from.display(), to.display()));
            };
            bind(&self.view(token), &self.at_home);
            bind(&self.at_home.join("local"), &self.at_prefix);
            self.user.run(code)
        })
    }

    /// Runs `code` as root in a mount namespace of its own, gone with everything mounted in it.
    fn in_namespace<T: Send>(&self, code: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
                code()
            });
            worker.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        })
    }
}

#[test]
fn the_directory_of_private_views_is_not_listed() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    for user in [&place.user, &User::new(0), &User::new(41_179)] {
        let names: Vec<_> =
            user.run(|| fs::read_dir(place.mount.point()).unwrap().map(|e| e.unwrap().file_name()).collect());
        assert!(!names.iter().any(|name| name == ".obuilderfs"), "{names:?}");
    }
}

#[test]
fn only_root_may_enter_private_views() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    for user in [&place.user, &User::new(41_179)] {
        let seen = user.run(|| {
            let views = place.mount.point().join(".obuilderfs");
            [
                outcome(fs::read_dir(&views).map(|_| ())),
                outcome(fs::metadata(place.view("t")).map(|_| ())),
                outcome(fs::read_dir(place.view("t").join("local")).map(|_| ())),
            ]
        });
        assert_eq!(seen, ["EACCES", "EACCES", "EACCES"], "{user:?}");
    }
    let views = fs::metadata(place.mount.point().join(".obuilderfs")).unwrap();
    assert_eq!((views.mode() & 0o7777, views.uid(), views.is_dir()), (0o700, 0, true));
}

#[test]
fn a_private_views_root_is_the_home_and_its_local_what_the_mount_shows() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    place.user.run(|| fs::write(place.mount.point().join("in-local"), "x").unwrap());
    fs::write(place.home.join("in-home"), "home").unwrap();
    let root = place.view("first");
    assert_eq!(fs::read_to_string(root.join("in-home")).unwrap(), "home");
    assert_eq!(fs::read_to_string(root.join("local/in-local")).unwrap(), "x");
    let below = fs::metadata(place.home.join("in-home")).unwrap();
    assert_eq!(fs::metadata(root.join("in-home")).unwrap().uid(), below.uid());
}

#[test]
fn names_that_are_no_private_view_do_not_exist() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    for name in ["x", "41170", "41170-", "-t", "41179-t", "x-t", "41170-a/b", "+41170-t", "041170-t"] {
        let path = place.mount.point().join(".obuilderfs").join(name);
        assert_eq!(outcome(fs::metadata(&path).map(|_| ())), "ENOENT", "{name}");
    }
    let made = fs::create_dir(place.mount.point().join(".obuilderfs/dir"));
    assert!(made.is_err(), "made a directory among the views");
}

#[test]
fn what_is_written_to_the_homes_local_is_in_the_prefix_at_once() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let (home, prefix) = (place.at_home.clone(), place.at_prefix.clone());
    place.inside("t", || {
        fs::create_dir(home.join("local/bin")).unwrap();
        for round in 0..40 {
            let (written, seen) =
                (home.join(format!("local/bin/{round}")), prefix.join(format!("bin/{round}")));
            assert_eq!(outcome(fs::read(&seen)), "ENOENT", "cached as missing");
            fs::write(&written, "one").unwrap();
            assert_eq!(fs::read_to_string(&seen).unwrap(), "one", "round {round}");
            fs::write(&written, "longer").unwrap();
            assert_eq!(fs::read_to_string(&seen).unwrap(), "longer", "round {round}");
            let ino = |path: &Path| fs::metadata(path).unwrap().ino();
            assert_eq!(ino(&written), ino(&seen));
            fs::remove_file(&seen).unwrap();
            assert_eq!(outcome(fs::read(&written)), "ENOENT");
        }
    });
    assert!(place.home.join("local/bin").is_dir(), "it lies in the home");
}

#[test]
fn a_rename_between_the_two_paths_is_cross_device_and_moves_by_copying() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let (home, prefix) = (place.at_home.clone(), place.at_prefix.clone());
    place.inside("t", || {
        fs::write(home.join("file"), "x").unwrap();
        assert_eq!(outcome(fs::rename(home.join("file"), prefix.join("file"))), "EXDEV");
        assert_eq!(outcome(fs::hard_link(home.join("file"), prefix.join("file"))), "EXDEV");
        assert_eq!(outcome(fs::rename(home.join("file"), home.join("local/file"))), "ok ()");
        assert_eq!(fs::read_to_string(prefix.join("file")).unwrap(), "x");
    });
}

#[test]
fn locks_taken_by_one_path_exclude_by_the_other() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let (home, prefix) = (place.at_home.clone(), place.at_prefix.clone());
    let excluded = place.inside("t", || {
        let one = fs::File::create(home.join("local/lock")).unwrap();
        let two = fs::File::open(prefix.join("lock")).unwrap();
        one.lock().unwrap();
        two.try_lock_shared().is_err()
    });
    assert!(excluded);
}

#[test]
fn neighbours_on_the_shared_root_disturb_no_working_directory_inside() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let (neighbour, neighbours_local) = place.world.resident(41_171);
    for (user, local) in [(&place.user, place.home.join("local")), (&neighbour, neighbours_local)] {
        user.mkdir(&local.join("dir"));
        user.mkdir(&local.join("dir/deeper"));
    }
    let prefix = place.at_prefix.clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    let lost = thread::scope(|scope| {
        for user in [&neighbour, &User::new(0)] {
            let (user, done, point) = (user.clone(), &done, place.mount.point());
            scope.spawn(move || {
                user.run(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let _ = fs::metadata(point.join("dir/deeper"));
                        let _ = fs::read_dir(point).map(Iterator::count);
                    }
                });
            });
        }
        let lost = place.inside("t", || {
            let here = prefix.join("dir");
            std::env::set_current_dir(&here).unwrap();
            (0..20_000).filter(|_| std::env::current_dir().ok().as_ref() != Some(&here)).count()
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        lost
    });
    assert_eq!(lost, 0, "failures of getcwd");
}

#[test]
fn a_private_view_stays_on_its_home_when_the_link_moves() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let second = place.world.home("second", &place.user);
    let prefix = place.at_prefix.clone();
    place.inside("t", || {
        fs::write(prefix.join("before"), "x").unwrap();
        outside(|| place.world.publish(place.user.uid, &second));
        fs::write(prefix.join("after"), "x").unwrap();
        assert_eq!(outcome(fs::read_to_string(prefix.join("before"))), "ok \"x\"");
        outside(|| place.world.retract(place.user.uid));
        assert_eq!(outcome(fs::read_to_string(prefix.join("after"))), "ok \"x\"");
    });
    assert!(place.home.join("local/after").exists() && !second.join("local/after").exists());
}

#[test]
fn a_fresh_token_shows_the_link_as_it_is_now() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let second = place.world.home("second", &place.user);
    fs::write(place.home.join("which"), "first").unwrap();
    fs::write(second.join("which"), "second").unwrap();
    let which = |token: &str| fs::read_to_string(place.view(token).join("which"));
    assert_eq!(which("a").unwrap(), "first");
    place.world.publish(place.user.uid, &second);
    assert_eq!(which("b").unwrap(), "second");
}

#[test]
fn a_private_view_keeps_nothing_busy_once_its_name_is_removed() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let volume = place.world.scratch.dir("volume");
    mount(Some("none"), &volume, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
    let home = volume.join("home");
    place.user.mkdir(&home);
    place.user.mkdir(&home.join("local"));
    place.world.publish(place.user.uid, &home);
    // A process, so that its namespace is gone when it has been waited for.
    let script = "unshare -m sh -ec 'mount --bind \"$1\" \"$2\"; mount --bind \"$2/local\" \"$3\"; echo x >\"$3/file\"' sh \"$@\"";
    let done = User::new(0).sh(script, &[&place.view("t"), &place.at_home, &place.at_prefix]);
    assert!(done.status.success() && home.join("local/file").exists(), "{done:?}");
    place.world.retract(place.user.uid);
    fs::remove_dir(place.view("t")).unwrap();
    let unmounted = process::eventually(|| nix::mount::umount(&volume).is_ok());
    assert!(unmounted, "{} is busy", volume.display());
}

#[test]
fn the_mount_can_be_taken_down_while_a_namespace_still_uses_it() {
    if !can_mount() {
        return;
    }
    let place = Place::new(41_170);
    let prefix = place.at_prefix.clone();
    let point = place.mount.point().to_owned();
    let result: io::Result<()> = place.in_namespace(|| {
        mount(Some(&place.view("t").join("local")), &prefix, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        place.user.run(|| fs::write(prefix.join("before"), "x"))?;
        // In the test's own namespace, not in this one.
        let outside = thread::scope(|_| {
            std::process::Command::new("nsenter")
                .args(["--target", &std::process::id().to_string(), "--mount", "umount"])
                .arg(&point)
                .status()
        })?;
        assert!(outside.success());
        place.user.run(|| fs::write(prefix.join("after"), "x"))
    });
    assert_eq!(outcome(result), "ok ()");
    assert!(place.home.join("local/after").exists());
    assert!(place.mount.wait().success(), "ends with its last user");
}
