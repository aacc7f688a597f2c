//! One home seen in several views at once: by two users, and by one through the shared mount and privately.
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use obuilder_tests::observe::outcome;
use obuilder_tests::user::outside;
use obuilder_tests::{Mount, User, World};

use crate::can_mount;

/// The home of the first user, whom a second one's link leads to too, and a private view of it.
struct Scene {
    mount: Mount,
    users: [User; 2],
    home: PathBuf,
    private: PathBuf,
    _world: World,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let (one, local) = world.resident(44_021);
        let home = local.parent().unwrap().to_owned();
        world.publish(44_022, &home);
        let mounted = world.mount();
        let private = world.scratch.dir("private");
        let view = mounted.point().join(".obuilderfs/44021-t");
        mount(Some(&view), &private, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        Self {
            mount: mounted,
            users: [one, User::new(44_022)],
            home,
            private: private.join("local"),
            _world: world,
        }
    }

    fn shared(&self) -> &Path {
        self.mount.point()
    }
}

/// What can be seen of a name: its text, mode and size, and whether it is listed.
fn look(dir: &Path, name: &str) -> String {
    let listed = fs::read_dir(dir)
        .map(|list| list.filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name() == name)).count());
    let meta = fs::metadata(dir.join(name)).map(|meta| (meta.mode(), meta.len()));
    format!("{} {} {}", outcome(fs::read_to_string(dir.join(name))), outcome(meta), outcome(listed))
}

/// A name for it, and what it does in a directory.
type Step<'a> = (&'a str, &'a (dyn Fn(&Path) + Sync));

/// Has `write` change `dir/name` in several ways; after each, what `reader` sees has to be what lies there.
fn follow(below: &Path, write: impl Fn(&(dyn Fn(&Path) + Sync)), read: impl Fn() -> String) {
    let steps: [Step<'_>; 7] = [
        ("made", &|dir| fs::write(dir.join("x"), "one").unwrap()),
        ("longer", &|dir| fs::write(dir.join("x"), "longer").unwrap()),
        ("mode", &|dir| fs::set_permissions(dir.join("x"), fs::Permissions::from_mode(0o640)).unwrap()),
        ("replaced", &|dir| {
            fs::write(dir.join("new"), "new one").unwrap();
            fs::rename(dir.join("new"), dir.join("x")).unwrap();
        }),
        ("removed", &|dir| fs::remove_file(dir.join("x")).unwrap()),
        ("a directory", &|dir| fs::create_dir(dir.join("x")).unwrap()),
        ("removed again", &|dir| fs::remove_dir(dir.join("x")).unwrap()),
    ];
    for round in 0..10 {
        for (what, step) in steps {
            let _ = read();
            write(step);
            assert_eq!(read(), outside(|| look(below, "x")), "round {round}: {what}");
        }
    }
}

#[test]
fn what_is_done_in_a_private_view_is_seen_through_the_shared_mount() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let user = &scene.users[0];
    user.mkdir(&scene.home.join("local/d"));
    follow(
        &scene.home.join("local/d"),
        |step| user.run(|| step(&scene.private.join("d"))),
        || user.run(|| look(&scene.shared().join("d"), "x")),
    );
}

#[test]
fn what_one_user_does_is_seen_by_another_whose_link_leads_to_the_same_home() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let [one, two] = &scene.users;
    one.mkdir(&scene.home.join("local/d"));
    follow(
        &scene.home.join("local/d"),
        |step| one.run(|| step(&scene.shared().join("d"))),
        || two.run(|| look(&scene.shared().join("d"), "x")),
    );
}

#[test]
fn what_one_user_does_is_seen_by_another_who_stands_in_the_same_directory() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let [one, two] = &scene.users;
    one.mkdir(&scene.home.join("local/d"));
    one.mkdir(&scene.home.join("local/d/e"));
    two.run(|| {
        std::env::set_current_dir(scene.shared().join("d/e")).unwrap();
        let eventually = || {
            // Some milliseconds are allowed to a relative path.
            let is = outside(|| look(&scene.home.join("local/d/e"), "x"));
            let seen = obuilder_tests::process::eventually(|| look(Path::new("."), "x") == is);
            if seen { is } else { look(Path::new("."), "x") }
        };
        follow(
            &scene.home.join("local/d/e"),
            |step| one.run(|| step(&scene.shared().join("d/e"))),
            eventually,
        );
    });
}

#[test]
fn two_mounts_of_one_process_show_each_others_changes() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(44_023);
    user.mkdir(&local.join("d"));
    let build_home = world.scratch.dir("build-home");
    let map = format!("--map={}=.", build_home.display());
    let prefix = world.mount_with(&[&map]);
    let at_home = || user.run(|| look(&build_home.join("local/d"), "x"));
    let at_prefix = || user.run(|| look(&prefix.point().join("d"), "x"));
    follow(&local.join("d"), |step| user.run(|| step(&prefix.point().join("d"))), at_home);
    follow(&local.join("d"), |step| user.run(|| step(&build_home.join("local/d"))), at_prefix);
}
