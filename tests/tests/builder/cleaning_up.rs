//! Steps that fail, hang on, or are killed: nothing false is kept and nothing is left behind.
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use obuilder_tests::build::{Ended, processes_of, spec_of};
use obuilder_tests::{Build, mountinfo, process};

use crate::can_build;

const NOTHING: &[String] = &[];

#[test]
fn a_failing_step_ends_the_build_with_1_and_is_not_kept() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_720);
    for _ in 0..2 {
        let ended = build.steps(&["echo kept", "echo about to fail; exit 3", "echo never"]);
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.said(), ["kept", "about to fail"]);
        let expected =
            "\"/usr/bin/env\" \"bash\" \"-c\" \"echo about to fail; exit 3\" failed with exit status 3";
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        assert_eq!(build.left_behind(), NOTHING);
    }
    assert_eq!(build.results().len(), 2, "the base and the first step");
}

#[test]
fn a_step_that_kills_its_own_shell_has_failed() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_721);
    let ended = build.steps(&["kill -9 $$"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(build.results().len(), 1);
}

#[test]
fn processes_that_hide_are_gone_after_their_step() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_722);
    let ended = build
        .steps(&[
            "setsid sleep 1000 >/dev/null 2>&1 & (setsid nohup sleep 1001 >/dev/null 2>&1 &) ; trap '' TERM HUP; echo started",
            "ps -eo user:32,args | grep -c '[s]leep 100' || true",
        ])
        .done();
    assert_eq!(ended.said(), ["started", "0"]);
    assert_eq!(processes_of(build.uid), NOTHING);
}

#[test]
fn a_background_process_that_holds_the_output_does_not_hold_the_build() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_723);
    let began = Instant::now();
    build.steps(&["sleep 1000 & echo done"]).done();
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(build.left_behind(), NOTHING);
}

/// A build whose step says when it runs, and then waits.
fn start_waiting(build: &Build) -> Child {
    let spec = build.spec(&spec_of(&["echo first", "echo waiting; setsid sleep 900 & sleep 901"]));
    let mut child = build
        .command(&spec)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap() == "waiting"), "the step did not start");
    child
}

/// Waits until nothing of `build` is left, for what ends by itself a moment later.
fn gone(build: &Build) -> Vec<String> {
    mountinfo::wait_until(None, Duration::from_secs(10), || {
        // Processes that die of their parent's death have no condition to wait for but their absence.
        std::thread::sleep(Duration::from_millis(20));
        processes_of(build.uid).is_empty()
    });
    processes_of(build.uid)
}

#[test]
fn an_interrupted_build_exits_130_and_leaves_nothing() {
    if !can_build() {
        return;
    }
    for (uid, signal) in [(41_724, Signal::SIGINT), (41_725, Signal::SIGTERM)] {
        let build = Build::new(uid);
        let mut child = start_waiting(&build);
        let status = process::stop(&mut child, signal);
        assert_eq!(status.code(), Some(130), "{signal}: {status}");
        assert_eq!(build.left_behind(), NOTHING, "{signal}");
        assert_eq!(build.results().len(), 2, "{signal}: the base and the first step");
    }
}

#[test]
fn a_killed_builder_leaves_no_process_and_no_mount_and_the_next_one_goes_on() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_726);
    let before = mountinfo::all();
    let mut child = start_waiting(&build);
    assert_eq!(mountinfo::all(), before, "mounts are not to be seen outside");
    process::stop(&mut child, Signal::SIGKILL);
    assert_eq!(gone(&build), NOTHING);
    assert_eq!(mountinfo::all(), before);
    let ended = build.steps(&["echo first", "echo second"]).done();
    assert_eq!(ended.said(), ["first", "second"]);
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn half_a_result_of_a_killed_builder_is_never_taken_for_one() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_727);
    let commands =
        ["echo first", "if [ -e half ]; then echo 'found the rest of another'; fi; echo x > half; $WAIT"];
    let spec = |wait: &str| {
        let commands = commands.map(|command| command.replace("$WAIT", wait));
        spec_of(&commands.each_ref().map(String::as_str))
    };
    // The same step, which waits until the file it looks for is there: the first time it never is.
    let marker = build.scratch.path().join("go");
    let text = spec(&format!("echo waiting; until [ -e {} ]; do sleep 0.1; done", marker.display()));
    let path = build.spec(&text);
    let mut child = build
        .command(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap() == "waiting"));
    process::stop(&mut child, Signal::SIGKILL);
    std::fs::write(&marker, "").unwrap();
    let ended = Ended::from(process::output(&mut build.command(&path))).done();
    assert_eq!(ended.said(), ["first", "waiting"]);
    assert!(ended.stdout.contains("saved as"), "{}", ended.stdout);
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn a_full_disk_fails_the_step_and_keeps_what_was_done() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_728);
    std::fs::create_dir(&build.store).unwrap();
    let options = Some("size=24m,mode=755");
    nix::mount::mount(Some("none"), &build.store, Some("tmpfs"), nix::mount::MsFlags::empty(), options)
        .unwrap();
    let ended = build.steps(&["echo first", "head -c 100000000 /dev/zero > big"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("No space left") || ended.stderr.contains("o space left"), "{ended:?}");
    let again = build.steps(&["echo first", "echo small"]).done();
    assert_eq!(again.said(), ["first", "small"]);
    assert_eq!(build.results().len(), 3);
}

#[test]
fn the_account_stays_and_is_used_again() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_729);
    let account = || {
        let out = Command::new("getent").args(["passwd", "41729"]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    build.steps(&["echo one"]).done();
    let made = account();
    assert!(made.starts_with("obuilder41729:"), "{made}");
    build.steps(&["echo two"]).done();
    assert_eq!(account(), made);
}
