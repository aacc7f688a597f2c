//! Which obuilderfs a build uses: its own, or one that is mounted already.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use obuilder_tests::build::spec_of;
use obuilder_tests::{Build, Mount, binary, process};

use crate::can_build;

/// A build whose prefix is a directory of its own, and that directory.
fn with_prefix() -> (Build, PathBuf) {
    let build = Build::new();
    let prefix = build.scratch.dir("prefix");
    fs::create_dir(&build.scoreboard).unwrap();
    (build.with(format!("--fuse-path={}", prefix.display())), prefix)
}

#[test]
fn one_mounted_by_hand_for_the_same_scoreboard_is_used_and_stays() {
    if !can_build() {
        return;
    }
    let (build, prefix) = with_prefix();
    let log = build.scratch.path().join("log");
    // Read-only, so that the step can tell which one it has.
    let mount = Mount::start(&["-o", "ro"], &build.scoreboard, &prefix, None, &log);
    let script = format!("touch {}/file || echo read-only", prefix.display());
    let ended = build.steps(&[&script]).done();
    assert_eq!(ended.said().last(), Some(&"read-only"), "{}", ended.stdout);
    assert!(obuilder_tests::mount::is_ours(&prefix), "the build took it away");
    assert!(mount.stop(Signal::SIGTERM).success());
}

#[test]
fn the_mount_of_a_killed_one_is_replaced() {
    if !can_build() {
        return;
    }
    let (build, prefix) = with_prefix();
    let log = build.scratch.path().join("log");
    let mount = Mount::start(&[], &build.scoreboard, &prefix, None, &log);
    mount.stop(Signal::SIGKILL);
    assert!(fs::read_dir(&prefix).is_err(), "the mount point is dead");
    let ended = build.steps(&[&format!("echo x > {0}/file; cat {0}/file", prefix.display())]).done();
    assert_eq!(ended.said(), ["x"]);
}

#[test]
fn the_builder_is_enough_without_the_other_binary() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let alone = build.scratch.dir("alone").join("obuilder");
    fs::copy(binary::obuilder(), &alone).unwrap();
    let usual = build.command(&build.spec(&spec_of(&["echo x > /usr/local/file; cat ~/local/file"])));
    let mut command = Command::new(alone);
    command.args(usual.get_args()).env("PATH", "/usr/bin:/bin:/usr/sbin");
    let ended = obuilder_tests::build::Ended::from(process::output(&mut command)).done();
    assert_eq!(ended.said(), ["x"]);
}

#[test]
fn other_users_keep_the_fallback_at_the_prefix_of_a_mount_made_by_hand() {
    if !can_build() {
        return;
    }
    let (build, prefix) = with_prefix();
    fs::write(prefix.join("machines"), "own\n").unwrap();
    let log = build.scratch.path().join("log");
    let _mount = Mount::start(&[], &build.scoreboard, &prefix, None, &log);
    let ended = build.steps(&[&format!("ls {}", prefix.display())]).done();
    assert_eq!(ended.said(), Vec::<&str>::new());
    assert_eq!(fs::read_to_string(prefix.join("machines")).unwrap(), "own\n");
}
