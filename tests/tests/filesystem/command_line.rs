//! Command lines and environments that cannot work: one clear line each, and nothing harmed.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};

use obuilder_tests::{User, World, binary, mountinfo, process};

use crate::can_mount;

/// Runs `obuilderfs -f ARGS…`, which must refuse: exit with `code`, one line for each expected piece of text,
/// and nothing mounted.
fn refuses<S: AsRef<OsStr>>(world: &World, args: &[S], code: i32, expected: &[&str]) -> String {
    let out = process::output(Command::new(binary::obuilderfs()).arg("-f").args(args));
    check(world, &out, code, expected)
}

fn check(world: &World, out: &Output, code: i32, expected: &[&str]) -> String {
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{said}");
    for text in expected {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
    assert!(mountinfo::below(&world.point).is_empty(), "mounted all the same");
    said
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_missing_scoreboard_is_named() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let missing = world.scratch.path().join("no-such-scoreboard");
    refuses(&world, &[&missing, &world.point], 3, &[&missing.display().to_string(), "No such file"]);
}

#[test]
fn a_scoreboard_that_is_no_directory_is_refused() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let file = world.scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    refuses(&world, &[&file, &world.point], 3, &[&file.display().to_string(), "not a directory"]);
}

#[test]
fn a_scoreboard_that_others_can_change_is_refused_with_the_command_that_mends_it() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let board = world.scoreboard.display().to_string();
    for bits in [0o775, 0o757, 0o777] {
        mode(&world.scoreboard, bits);
        let args = [&world.scoreboard, &world.point];
        refuses(&world, &args, 3, &[&board, "writable by others", &format!("chmod go-w {board}")]);
    }
    mode(&world.scoreboard, 0o755);
    chown(&world.scoreboard, Some(41_180), None).unwrap();
    refuses(&world, &[&world.scoreboard, &world.point], 3, &[&board, "belongs to uid 41180", "chown root"]);
}

#[test]
fn a_scoreboard_that_others_can_rename_away_is_refused() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let above = world.scratch.dir("above");
    let board = world.scratch.dir("above/board");
    mode(&above, 0o777);
    refuses(&world, &[&board, &world.point], 3, &[&above.display().to_string(), "writable by others"]);
    mode(&above, 0o1777);
    let log = world.scratch.path().join("log");
    // Sticky, as /tmp is: nobody can rename what is root's.
    drop(obuilder_tests::Mount::start(&[], &board, &world.point, None, &log));
}

#[test]
fn a_scoreboard_under_the_mount_point_is_refused() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let below = world.scratch.dir("mnt/below");
    let point = world.point.display().to_string();
    refuses(&world, &[&below, &world.point], 3, &[&below.display().to_string(), &point]);
    refuses(&world, &[&world.point, &world.point], 3, &[&point]);
}

#[test]
fn a_missing_mount_point_is_named_and_a_file_is_none() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let missing = world.scratch.path().join("no-such-point");
    refuses(&world, &[&world.scoreboard, &missing], 3, &[&missing.display().to_string(), "No such file"]);
    let file = world.scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    refuses(&world, &[&world.scoreboard, &file], 3, &[&file.display().to_string(), "Not a directory"]);
}

#[test]
fn a_missing_fallback_is_named() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let missing = world.scratch.path().join("no-such-fallback");
    refuses(&world, &[&world.scoreboard, &world.point, &missing], 3, &[&missing.display().to_string()]);
}

#[test]
fn the_fallback_may_lie_in_what_the_mount_covers() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let below = world.scratch.dir("mnt/below");
    fs::write(below.join("file"), "x").unwrap();
    let log = world.scratch.path().join("log");
    let mount = obuilder_tests::Mount::start(&[], &world.scoreboard, &world.point, Some(&below), &log);
    assert_eq!(fs::read_to_string(mount.point().join("file")).unwrap(), "x");
}

#[test]
fn a_mount_point_with_files_in_it_is_fine() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    fs::write(world.point.join("covered"), "x").unwrap();
    drop(world.mount());
    assert!(world.point.join("covered").exists());
}

#[test]
fn an_ordinary_user_is_told_that_root_is_needed() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    // The binary may lie where an ordinary user cannot go.
    let copy = world.scratch.path().join("obuilderfs");
    fs::copy(binary::obuilderfs(), &copy).unwrap();
    let out = User::new(41_181)
        .run(|| process::output(Command::new(&copy).arg("-f").args([&world.scoreboard, &world.point])));
    check(&world, &out, 3, &["root"]);
}

#[test]
fn wrong_usage_says_how_it_is_used() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let words: [&[&str]; 5] =
        [&[], &["one"], &["a", "b", "c", "d"], &["--no-such-option", "a", "b"], &["-o"]];
    for args in words {
        let said = refuses(&world, args, 2, &["--help"]);
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn an_unknown_mount_option_is_named() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let args =
        [OsStr::new("-o"), OsStr::new("no_such_option"), world.scoreboard.as_ref(), world.point.as_ref()];
    refuses(&world, &args, 2, &["no_such_option"]);
}

#[test]
fn help_and_version_go_to_stdout_with_success() {
    for (option, text) in
        [("--help", "SCOREBOARD"), ("-h", "SCOREBOARD"), ("--version", "obuilderfs"), ("-V", "obuilderfs")]
    {
        let out = process::output(Command::new(binary::obuilderfs()).arg(option));
        assert!(out.status.success(), "{option}: {out:?}");
        assert!(String::from_utf8_lossy(&out.stdout).contains(text), "{option}: {out:?}");
    }
}

#[test]
fn paths_with_blanks_and_odd_bytes_are_served() {
    if !can_mount() {
        return;
    }
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let board = world.scratch.dir("score board");
    let point = world.scratch.path().join(OsStr::from_bytes(b"mount \xff, \"p\\oint\""));
    fs::create_dir(&point).unwrap();
    let log = world.scratch.path().join("log");
    let mount = obuilder_tests::Mount::start(&[], &board, &point, Some(&world.fallback), &log);
    fs::write(point.join("file"), "x").unwrap();
    assert!(world.fallback.join("file").exists());
    drop(mount);
}

#[test]
fn the_mount_point_may_be_given_by_a_relative_path_or_a_link() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let link = world.scratch.path().join("link");
    std::os::unix::fs::symlink(&world.point, &link).unwrap();
    for point in [Path::new("mnt"), &link] {
        let mut child = Command::new(binary::obuilderfs())
            .arg("-f")
            .args([Path::new("scoreboard"), point, Path::new("fallback")])
            .current_dir(world.scratch.path())
            .spawn()
            .unwrap();
        let mounted =
            mountinfo::wait_until(None, process::LIMIT, || obuilder_tests::mount::is_ours(&world.point));
        process::stop(&mut child, nix::sys::signal::Signal::SIGTERM);
        assert!(mounted, "{}", point.display());
    }
}
