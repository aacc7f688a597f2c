//! Command lines and environments that cannot work: one clear line each, and nothing harmed.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};

use obuilder_tests::{User, World, binary, mountinfo, process};

use crate::can_mount;

/// Runs `obuilderfs -f ARGS…`, which must refuse: exit with `code`, print the line `said` after its name, where
/// `HERE` stands for the world's directory, and mount nothing.
#[track_caller]
fn refuses<S: AsRef<OsStr>>(world: &World, args: &[S], code: i32, said: &str) {
    let out = process::output(Command::new(binary::obuilderfs()).arg("-f").args(args));
    check(world, &out, code, said);
}

#[track_caller]
fn check(world: &World, out: &Output, code: i32, said: &str) {
    let said = said.replace("HERE", &world.scratch.path().display().to_string());
    assert_eq!(String::from_utf8_lossy(&out.stderr), format!("obuilderfs: {said}\n"));
    assert_eq!(out.status.code(), Some(code));
    assert!(mountinfo::below(&world.point).is_empty(), "mounted all the same");
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
    refuses(
        &world,
        &[&missing, &world.point],
        3,
        "scoreboard HERE/no-such-scoreboard: cannot be opened: No such file or directory",
    );
}

#[test]
fn a_scoreboard_that_is_no_directory_is_refused() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let file = world.scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    refuses(
        &world,
        &[&file, &world.point],
        3,
        "scoreboard HERE/file is not a directory; give a directory of links named by uid",
    );
}

#[test]
fn a_scoreboard_that_others_can_change_is_refused_with_the_command_that_mends_it() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let args = [&world.scoreboard, &world.point];
    for bits in ["0775", "0757", "0777"] {
        mode(&world.scoreboard, u32::from_str_radix(bits, 8).unwrap());
        let said = format!(
            "scoreboard HERE/scoreboard: HERE/scoreboard is writable by others (mode {bits}), so others could redirect users; run: chmod go-w HERE/scoreboard"
        );
        refuses(&world, &args, 3, &said);
    }
    mode(&world.scoreboard, 0o755);
    chown(&world.scoreboard, Some(41_180), None).unwrap();
    refuses(
        &world,
        &args,
        3,
        "scoreboard HERE/scoreboard: HERE/scoreboard belongs to uid 41180, not to root, so others could redirect users; run: chown root HERE/scoreboard",
    );
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
    refuses(
        &world,
        &[&board, &world.point],
        3,
        "scoreboard HERE/above/board: HERE/above is writable by others (mode 0777), so others could redirect users; run: chmod go-w HERE/above",
    );
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
    let why = "lies under the mount point HERE/mnt, which would hide it; keep it elsewhere";
    refuses(&world, &[&below, &world.point], 3, &format!("scoreboard HERE/mnt/below {why}"));
    refuses(&world, &[&world.point, &world.point], 3, &format!("scoreboard HERE/mnt {why}"));
}

#[test]
fn a_missing_mount_point_is_named_and_a_file_is_none() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let missing = world.scratch.path().join("no-such-point");
    refuses(
        &world,
        &[&world.scoreboard, &missing],
        3,
        "mount point HERE/no-such-point: No such file or directory",
    );
    let file = world.scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    refuses(&world, &[&world.scoreboard, &file], 3, "mount point HERE/file: Not a directory");
}

#[test]
fn a_missing_fallback_is_named() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let missing = world.scratch.path().join("no-such-fallback");
    refuses(
        &world,
        &[&world.scoreboard, &world.point, &missing],
        3,
        "fallback HERE/no-such-fallback: No such file or directory",
    );
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
    let said = "must run as root: it serves each user with that user's rights; use sudo";
    check(&world, &out, 3, said);
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
        let out = process::output(Command::new(binary::obuilderfs()).arg("-f").args(args));
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains("--help"), "{said}");
        assert!(mountinfo::below(&world.point).is_empty(), "mounted all the same");
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
    let known = "ro, rw, exec, noexec, atime, noatime, remount, fallback=DIR, fsname=NAME, entry_timeout=S, attr_timeout=S, negative_timeout=S, threads=N, nopassthrough";
    refuses(&world, &args, 2, &format!("unknown mount option 'no_such_option'; known: {known}"));
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

#[test]
fn without_dev_fuse_it_says_how_to_get_it() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let script = "mount -t tmpfs none /dev && exec \"$0\" -f \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(binary::obuilderfs());
    let out = process::output(command.args([&world.scoreboard, &world.point]));
    let said =
        "/dev/fuse is missing: load the driver with 'modprobe fuse', or pass the device into the container";
    check(&world, &out, 3, said);
}
