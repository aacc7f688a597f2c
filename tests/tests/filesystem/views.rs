//! Each caller sees its own tree under the same names.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;

use obuilder_tests::observe::outcome;
use obuilder_tests::{Mount, User, World};

use crate::can_mount;

#[test]
fn two_users_see_two_trees_under_the_same_names_and_a_third_sees_the_fallback() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let ((one, home_one), (two, home_two)) = (world.resident(41_130), world.resident(41_131));
    for (dir, text) in [(&home_one, "one"), (&home_two, "two"), (&world.fallback, "fallback")] {
        fs::create_dir(dir.join("bin")).unwrap();
        fs::write(dir.join("bin/tool"), text).unwrap();
        fs::write(dir.join(format!("only-{text}")), text).unwrap();
    }
    let mount = world.mount();
    let see = |user: &User| {
        user.run(|| {
            let mut names: Vec<_> = fs::read_dir(mount.point())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            (fs::read_to_string(mount.point().join("bin/tool")).unwrap(), names.join(" "))
        })
    };
    for _ in 0..3 {
        assert_eq!(see(&one), ("one".into(), "bin only-one".into()));
        assert_eq!(see(&two), ("two".into(), "bin only-two".into()));
        assert_eq!(see(&User::new(41_132)), ("fallback".into(), "bin only-fallback".into()));
        assert_eq!(see(&User::new(0)), ("fallback".into(), "bin only-fallback".into()));
    }
}

#[test]
fn users_at_once_never_read_each_others_bytes() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let users: Vec<_> = [41_130, 41_131, 41_132].map(|uid| world.resident(uid)).into_iter().collect();
    for (user, local) in &users {
        fs::create_dir_all(local.join("lib/deep")).unwrap();
        fs::write(local.join("lib/deep/file"), user.uid.to_string().repeat(1000)).unwrap();
    }
    let mount = world.mount();
    let start = Barrier::new(users.len());
    let wrong: usize = std::thread::scope(|scope| {
        let readers: Vec<_> = users
            .iter()
            .map(|(user, _)| {
                scope.spawn(|| {
                    start.wait();
                    let mine = user.uid.to_string().repeat(1000);
                    let path = mount.point().join("lib/deep/file");
                    user.run(|| (0..400).filter(|_| fs::read_to_string(&path).unwrap() != mine).count())
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert_eq!(wrong, 0);
}

#[test]
fn a_users_file_belongs_to_the_user_and_lies_in_the_home() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_705);
    let mount = world.mount();
    let done = user.sh("mkdir -p \"$1/share/doc\"; echo made >\"$1/share/doc/file\"", &[mount.point()]);
    assert!(done.status.success(), "{done:?}");
    let path = local.join("share/doc/file");
    assert_eq!(fs::read_to_string(&path).unwrap(), "made\n");
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (41_705, 41_705, 0o644));
    assert!(!world.fallback.join("share").exists());
}

#[test]
fn a_name_missing_for_one_is_there_for_another() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let ((one, _), (two, home_two)) = (world.resident(41_130), world.resident(41_131));
    fs::write(home_two.join("x"), "two").unwrap();
    let mount = world.mount();
    let read = |user: &User| user.run(|| outcome(fs::read_to_string(mount.point().join("x"))));
    for _ in 0..10 {
        assert_eq!(read(&one), "ENOENT");
        assert_eq!(read(&two), r#"ok "two""#);
        assert_eq!(read(&User::new(41_133)), "ENOENT");
    }
    one.run(|| fs::write(mount.point().join("x"), "one").unwrap());
    assert_eq!((read(&one), read(&two)), (r#"ok "one""#.into(), r#"ok "two""#.into()));
    two.run(|| fs::remove_file(mount.point().join("x")).unwrap());
    assert_eq!((read(&one), read(&two)), (r#"ok "one""#.into(), "ENOENT".into()));
}

#[test]
fn one_users_removal_and_rename_leave_anothers_directory_alone() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let ((one, home_one), (two, home_two)) = (world.resident(41_130), world.resident(41_131));
    for (user, local) in [(&one, &home_one), (&two, &home_two)] {
        for dir in ["a", "a/b", "c", "c/d"] {
            user.mkdir(&local.join(dir));
        }
    }
    let mount = world.mount();
    one.run(|| {
        std::env::set_current_dir(mount.point().join("a/b")).unwrap();
        two.run(|| {
            fs::remove_dir_all(mount.point().join("a")).unwrap();
            fs::rename(mount.point().join("c/d"), mount.point().join("moved")).unwrap();
        });
        assert_eq!(outcome(fs::write("file", "still works")), "ok ()");
        std::env::set_current_dir("../../c/d").unwrap();
        assert_eq!(outcome(fs::write("file", "still works")), "ok ()");
        assert_eq!(std::env::current_dir().unwrap(), mount.point().join("c/d"));
    });
    assert!(home_one.join("a/b/file").exists() && home_one.join("c/d/file").exists());
}

#[test]
fn supplementary_groups_of_the_caller_count() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let team = world.fallback.join("team");
    fs::create_dir(&team).unwrap();
    std::os::unix::fs::chown(&team, Some(0), Some(41_190)).unwrap();
    fs::set_permissions(&team, std::os::unix::fs::PermissionsExt::from_mode(0o770)).unwrap();
    let mount = world.mount();
    let write =
        |user: User, name: &str| user.run(|| outcome(fs::write(mount.point().join("team").join(name), "x")));
    assert_eq!(write(User::new(41_134), "a"), "EACCES");
    assert_eq!(write(User::new(41_134).with_groups(&[41_190]), "b"), "ok ()");
    // The same uid again, without the group: what was allowed once is not remembered for the uid.
    assert_eq!(write(User::new(41_134), "c"), "EACCES");
    let many: Vec<u32> = (42_000..42_100).chain([41_190]).collect();
    assert_eq!(write(User::new(41_134).with_groups(&many), "d"), "ok ()");
}

#[test]
fn without_a_fallback_others_see_what_the_mount_covers() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_130);
    fs::write(local.join("file"), "home").unwrap();
    fs::write(world.point.join("file"), "covered").unwrap();
    let log = world.scratch.path().join("log");
    let mount = Mount::start(&[], &world.scoreboard, &world.point, None, &log);
    let read = |user: &User| user.run(|| fs::read_to_string(mount.point().join("file")).unwrap());
    assert_eq!((read(&user), read(&User::new(0))), ("home".into(), "covered".into()));
    fs::write(mount.point().join("by-root"), "x").unwrap();
    drop(mount);
    assert!(world.point.join("by-root").exists(), "written to the covered directory");
}

#[test]
fn a_child_that_changes_its_uid_changes_its_view() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (_, local) = world.resident(41_130);
    fs::write(local.join("file"), "home").unwrap();
    fs::write(world.fallback.join("file"), "fallback").unwrap();
    let mount = world.mount();
    let file = mount.point().join("file");
    let script = "cat \"$1\"; setpriv --reuid 41130 --regid 41130 --clear-groups cat \"$1\"; cat \"$1\"";
    let out = User::new(0).sh(script, &[&file]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "fallbackhomefallback", "{out:?}");
}

#[test]
fn a_descriptor_handed_to_another_user_stays_what_it_is() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let ((one, home_one), (two, home_two)) = (world.resident(41_130), world.resident(41_131));
    fs::write(home_one.join("file"), "one").unwrap();
    fs::write(home_two.join("file"), "two").unwrap();
    let mount = world.mount();
    let file = one.run(|| fs::File::open(mount.point().join("file")).unwrap());
    let text = two.run(|| std::io::read_to_string(&file).unwrap());
    assert_eq!(text, "one");
}

#[test]
fn the_mount_is_nosuid_and_nodev_and_named_after_its_scoreboard() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mount = world.mount();
    let entry = obuilder_tests::mountinfo::at(mount.point()).unwrap();
    assert_eq!(entry.fs_type, "fuse.obuilderfs");
    assert_eq!(Path::new(&entry.source), world.scoreboard);
    let options: Vec<&str> = entry.options.split(',').collect();
    assert!(options.contains(&"nosuid") && options.contains(&"nodev"), "{options:?}");
    let out = obuilder_tests::process::output(Command::new("df").arg(mount.point()));
    assert!(out.status.success(), "{out:?}");
}
