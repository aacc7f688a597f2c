//! Links that move, vanish, or are wrong while the file system is in use.
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

use obuilder_tests::observe::outcome;
use obuilder_tests::user::outside;
use obuilder_tests::{User, World, process};

use crate::can_mount;

fn read(user: &User, path: &Path) -> String {
    user.run(|| outcome(fs::read_to_string(path)))
}

/// A second home of `user`'s in `world`, with `dir/file` saying `text`.
fn home_with(world: &World, name: &str, user: &User, text: &str) -> std::path::PathBuf {
    let home = world.home(name, user);
    user.mkdir(&home.join("local/dir"));
    fs::write(home.join("local/dir/file"), text).unwrap();
    home
}

#[test]
fn a_link_swapped_by_ln_shows_the_new_home_at_the_next_look_up() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let user = User::new(41_140);
    let homes = ["first", "second"].map(|name| home_with(&world, name, &user, name));
    world.publish(user.uid, &homes[0]);
    let mount = world.mount();
    let file = mount.point().join("dir/file");
    for round in 0..20 {
        let now = ["first", "second"][round % 2];
        let swapped =
            User::new(0).sh("ln -sfn \"$1\" \"$2\"", &[&homes[round % 2], &world.scoreboard.join("41140")]);
        assert!(swapped.status.success(), "{swapped:?}");
        assert_eq!(read(&user, &file), format!("ok {now:?}"), "round {round}");
    }
}

#[test]
fn what_was_opened_before_a_swap_stays_on_the_old_home() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let user = User::new(41_140);
    let homes = ["first", "second"].map(|name| home_with(&world, name, &user, name));
    world.publish(user.uid, &homes[0]);
    let mount = world.mount();
    user.run(|| {
        std::env::set_current_dir(mount.point().join("dir")).unwrap();
        let mut open = File::open("file").unwrap();
        outside(|| world.publish(user.uid, &homes[1]));
        assert_eq!(fs::read_to_string(mount.point().join("dir/file")).unwrap(), "second");
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first", "the open file");
        assert_eq!(fs::read_to_string("file").unwrap(), "first", "the working directory");
        fs::write("new", "x").unwrap();
    });
    assert!(homes[0].join("local/dir/new").exists() && !homes[1].join("local/dir/new").exists());
}

#[test]
fn a_link_made_anew_to_the_same_home_forgets_what_was_cached() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let user = User::new(41_140);
    let home = home_with(&world, "home", &user, "before");
    world.publish(user.uid, &home);
    let mount = world.mount();
    let file = mount.point().join("dir/file");
    for round in 0..20 {
        let text = format!("after {}", "x".repeat(round));
        fs::write(home.join("local/dir/file"), &text).unwrap();
        fs::write(home.join(format!("local/dir/new-{round}")), "x").unwrap();
        world.publish(user.uid, &home);
        assert_eq!(read(&user, &file), format!("ok {text:?}"));
        assert_eq!(read(&user, &mount.point().join(format!("dir/new-{round}"))), "ok \"x\"");
        assert_eq!(read(&user, &mount.point().join(format!("dir/new-{}", round + 1))), "ENOENT");
    }
}

#[test]
fn a_user_whose_link_is_taken_away_sees_the_fallback() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let user = User::new(41_140);
    let home = home_with(&world, "home", &user, "home");
    fs::create_dir(world.fallback.join("dir")).unwrap();
    fs::write(world.fallback.join("dir/file"), "fallback").unwrap();
    let mount = world.mount();
    let file = mount.point().join("dir/file");
    for _ in 0..10 {
        assert_eq!(read(&user, &file), "ok \"fallback\"");
        world.publish(user.uid, &home);
        assert_eq!(read(&user, &file), "ok \"home\"");
        world.retract(user.uid);
    }
}

#[test]
fn a_removed_home_keeps_nothing_busy_once_its_link_is_gone() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let user = User::new(41_140);
    // A file system of its own, as a store's snapshot is.
    let volume = world.scratch.dir("volume");
    nix::mount::mount(Some("none"), &volume, Some("tmpfs"), nix::mount::MsFlags::empty(), Some("mode=755"))
        .unwrap();
    let home = volume.join("home");
    user.mkdir(&home);
    user.mkdir(&home.join("local"));
    fs::write(home.join("local/file"), "x").unwrap();
    world.publish(user.uid, &home);
    let mount = world.mount();
    assert_eq!(read(&user, &mount.point().join("file")), "ok \"x\"");
    user.run(|| fs::read_dir(mount.point()).unwrap().count());
    world.retract(user.uid);
    // The next request of that user is what shows the daemon that the view has ended.
    assert_eq!(read(&user, &mount.point().join("file")), "ENOENT");
    let unmounted = process::eventually(|| nix::mount::umount(&volume).is_ok());
    assert!(unmounted, "{} is busy", volume.display());
}

/// A link that leads nowhere useful, and the errors that fit it.
fn bad_links(world: &World) -> Vec<(u32, &'static str, &'static [&'static str])> {
    let user = User::new(41_141);
    let no_local = world.scratch.dir("homes").join("no-local");
    user.mkdir(&no_local);
    let file = world.scratch.path().join("a-file");
    fs::write(&file, "x").unwrap();
    let local_is_a_file = world.scratch.dir("homes").join("local-is-a-file");
    user.mkdir(&local_is_a_file);
    fs::write(local_is_a_file.join("local"), "x").unwrap();
    let links: [(u32, &Path); 7] = [
        (41_141, &world.scratch.path().join("missing")),
        (41_142, Path::new("../homes/relative")),
        (41_143, &file),
        (41_144, &world.point.join("below")),
        (41_145, &world.scoreboard.join("41145")),
        (41_146, &no_local),
        (41_147, &local_is_a_file),
    ];
    for (uid, target) in links {
        symlink(target, world.scoreboard.join(uid.to_string())).unwrap();
    }
    user.mkdir(&world.scratch.dir("homes").join("relative/local"));
    vec![
        (41_141, "missing", &["ENOENT"]),
        (41_142, "relative", &["ENOENT", "ELOOP"]),
        (41_143, "a file", &["ENOENT", "ENOTDIR"]),
        (41_144, "under the mount point", &["ENOENT", "ELOOP"]),
        (41_145, "a loop", &["ENOENT", "ELOOP"]),
        (41_146, "a home without local", &["ENOENT"]),
        (41_147, "a home whose local is a file", &["ENOENT", "ENOTDIR"]),
    ]
}

#[test]
fn bad_links_give_their_own_user_an_error_and_harm_nobody_else() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (good, local) = world.resident(41_140);
    fs::write(local.join("file"), "fine").unwrap();
    fs::write(world.fallback.join("file"), "fallback").unwrap();
    let bad = bad_links(&world);
    let mount = world.mount();
    for (uid, what, errors) in &bad {
        let user = User::new(*uid);
        for _ in 0..5 {
            let seen = read(&user, &mount.point().join("file"));
            assert!(errors.contains(&seen.as_str()), "{what}: {seen}, not one of {errors:?}");
            let made = user.run(|| outcome(fs::write(mount.point().join("new"), "x")));
            assert!(made.starts_with('E'), "{what}: a file was made: {made}");
            let listed = user.run(|| outcome(fs::read_dir(mount.point()).map(Iterator::count)));
            assert!(listed.starts_with('E'), "{what}: was listed: {listed}");
        }
        assert_eq!(read(&good, &mount.point().join("file")), "ok \"fine\"", "beside: {what}");
        assert_eq!(
            read(&User::new(41_149), &mount.point().join("file")),
            "ok \"fallback\"",
            "beside: {what}"
        );
    }
    for (uid, what, _) in &bad {
        let named = format!("uid={uid}");
        let lines = mount.log().lines().filter(|line| line.contains(&named)).count();
        assert_eq!(lines, 1, "{what}: log lines that name {named}:\n{}", mount.log());
    }
}

#[test]
fn a_bad_link_put_right_works_at_the_next_look_up() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let user = User::new(41_140);
    let home = home_with(&world, "home", &user, "right");
    symlink("/nonexistent", world.scoreboard.join("41140")).unwrap();
    let mount = world.mount();
    let file = mount.point().join("dir/file");
    assert_eq!(read(&user, &file), "ENOENT");
    world.publish(user.uid, &home);
    assert_eq!(read(&user, &file), "ok \"right\"");
}

#[test]
fn entries_that_are_no_uids_are_ignored() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_140);
    fs::write(local.join("file"), "fine").unwrap();
    for name in ["README", "41140x", "-1", "99999999999999999999", "0x10", ".41140.1"] {
        symlink("/nonexistent", world.scoreboard.join(name)).unwrap();
    }
    fs::write(world.scoreboard.join("41148"), "not a link").unwrap();
    let mount = world.mount();
    assert_eq!(read(&user, &mount.point().join("file")), "ok \"fine\"");
    let of_a_file = read(&User::new(41_148), &mount.point().join("file"));
    assert!(of_a_file.starts_with('E'), "an entry that is no link gave {of_a_file}");
}
