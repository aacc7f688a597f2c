//! Steps that fail, hang on, or are killed: nothing false is kept and nothing is left behind.
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use obuilder_tests::build::{Ended, names, processes_of, spec_of};
use obuilder_tests::process::Guarded;
use obuilder_tests::{Build, Need, Scratch, mountinfo, process, require};

use crate::can_build;

const NOTHING: &[String] = &[];

#[test]
fn a_failing_step_ends_the_build_with_1_and_is_not_kept() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let failing =
        "touch /tmp/mine /var/tmp/mine /dev/shm/mine mine /usr/local/mine; echo about to fail; exit 3";
    for _ in 0..2 {
        let ended = build.steps(&["echo kept", failing, "echo never"]);
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.said(), ["kept", "about to fail"]);
        let told = format!("\"/usr/bin/env\" \"bash\" \"-c\" \"{failing}\" failed with exit status 3");
        assert_eq!(ended.stderr, format!("Build step failed: {told}\n"));
        assert_eq!(build.left_behind(), NOTHING);
    }
    assert_eq!(build.results().len(), 2, "the base and the first step");
}

#[test]
fn a_step_that_kills_its_own_shell_has_failed() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let ended = build.steps(&["kill -9 $$"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = r#""/usr/bin/env" "bash" "-c" "kill -9 $$" failed with signal SIGKILL"#;
    assert_eq!(ended.stderr, format!("Build step failed: {told}\n"));
    assert_eq!(build.results().len(), 1);
}

#[test]
fn processes_that_hide_are_gone_after_their_step() {
    if !can_build() || !require(&[Need::Tool("ps")]) {
        return;
    }
    let build = Build::new();
    let ended = build
        .steps(&[
            "setsid sleep 1000 >/dev/null 2>&1 & (setsid nohup sleep 1001 >/dev/null 2>&1 &) ; trap '' TERM HUP; echo started",
            "ps -eo user:32,args | grep -c '[s]leep 100' || true",
        ])
        .done();
    assert_eq!(ended.said(), ["started", "0"]);
    assert_eq!(processes_of(build.user.uid), NOTHING);
}

#[test]
fn a_background_process_that_holds_the_output_does_not_hold_the_build() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let began = Instant::now();
    build.steps(&["sleep 1000 & echo done"]).done();
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(build.left_behind(), NOTHING);
}

/// A build whose second step runs, and waits.
fn start_waiting(build: &Build) -> Guarded {
    let spec = build.spec(&spec_of(&[
        "echo first",
        "touch /tmp/mine /var/tmp/mine /dev/shm/mine; setsid sleep 900 & echo waiting; sleep 901",
    ]));
    start_until(build, &spec, "waiting")
}

/// A build of `spec`, once it has printed the line `word`.
fn start_until(build: &Build, spec: &Path, word: &str) -> Guarded {
    let mut command = build.command(spec);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = Guarded::from(child.unwrap());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == word), "the step did not start");
    child
}

/// Waits until nothing of `build` is left, for what ends by itself a moment later.
fn gone(build: &Build) -> Vec<String> {
    mountinfo::wait_until(None, Duration::from_secs(10), || {
        // Processes that die of their parent's death have no condition to wait for but their absence.
        std::thread::sleep(Duration::from_millis(20));
        processes_of(build.user.uid).is_empty()
    });
    processes_of(build.user.uid)
}

#[test]
fn an_interrupted_build_exits_130_and_leaves_nothing() {
    if !can_build() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let build = Build::new();
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
    let build = Build::new();
    let mut child = start_waiting(&build);
    assert_eq!(build.mounts(), [], "mounts are not to be seen outside");
    process::stop(&mut child, Signal::SIGKILL);
    assert_eq!(gone(&build), NOTHING);
    assert_eq!(build.mounts(), []);
    let ended = build.steps(&["echo first", "echo second"]).done();
    assert_eq!(ended.said(), ["first", "second"]);
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn half_a_result_of_a_killed_builder_is_never_taken_for_one() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    // The same step waits the first time and goes on the second.
    let outside = Scratch::below(Path::new("/run"));
    let go = outside.path().join("go");
    let script = format!(
        "[ -e half ] && echo found half of it; echo x > half; echo began; [ -e {} ] || sleep 900; echo done",
        go.display()
    );
    let spec = build.spec(&spec_of(&[&script]));
    let mut child = start_until(&build, &spec, "began");
    process::stop(&mut child, Signal::SIGKILL);
    let half = names(&build.store.join("result-tmp"));
    assert_eq!(half.len(), 1, "{half:?}");
    std::fs::write(&go, "").unwrap();
    let ended = Ended::from(process::output(&mut build.command(&spec))).done();
    assert_eq!(ended.id(), half[0], "it was the same step");
    assert!(ended.stdout.ends_with(&format!("began\ndone\n---> saved as \"{0}\"\nGot: \"{0}\"\n", half[0])));
    assert!(!ended.stdout.contains("found half of it\nbegan"), "{}", ended.stdout);
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn a_full_disk_fails_the_step_and_keeps_what_was_done() {
    if !can_build() {
        return;
    }
    let build = Build::new();
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
    let build = Build::new();
    let account = || {
        let out = Command::new("getent").args(["passwd", &build.user.uid.to_string()]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    build.steps(&["echo one"]).done();
    let made = account();
    assert!(made.starts_with(&format!("{}:x:{}:", build.user.name(), build.user.uid)), "{made}");
    build.steps(&["echo two"]).done();
    assert_eq!(account(), made);
}

#[test]
fn a_step_begins_with_no_signal_blocked() {
    if !can_build() {
        return;
    }
    let ended = Build::new().steps(&["grep SigBlk /proc/self/status"]).done();
    assert_eq!(ended.said(), ["SigBlk:\t0000000000000000"]);
}

#[test]
fn the_doctor_takes_the_link_of_a_killed_build_from_whatever_scoreboard_it_is_on() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let mut child = start_waiting(&build);
    let link = build.user.uid.to_string();
    let links = [link];
    assert_eq!(names(&build.scoreboard), links);
    process::stop(&mut child, Signal::SIGKILL);
    assert_eq!(names(&build.scoreboard), links);
    build.on_store(&["doctor", "--repair"]).done();
    assert_eq!(build.left_behind(), NOTHING);
}
