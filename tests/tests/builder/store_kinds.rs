//! Stores of other kinds than most of these tests have, chosen, copied and looked into.
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use obuilder_tests::build::{Ended, spec_of};
use obuilder_tests::{Build, Mount, binary, mountinfo, process};

use crate::{can_build, refused};

/// Steps that change what steps before them left, in every way that layers have to keep.
const STEPS: [&str; 4] = [
    "mkdir -p a/b d && echo one > a/b/f && ln a/b/f a/g && echo prefix > local/x",
    "mv a c && echo two >> c/b/f && rm -r d && mkdir d && chmod 700 .",
    "rm c/g && mv c/b d/b && echo three > /usr/local/x",
    "find . -type f ! -name '.*' | sort; cat d/b/f ~/local/x /usr/local/x; stat -c %a .",
];

const LEFT: [&str; 7] = ["./d/b/f", "./local/x", "one", "two", "three", "three", "700"];

/// Runs `obuilder` with `words`.
fn obuilder(words: &[&str]) -> Ended {
    process::output(Command::new(binary::obuilder()).args(words)).into()
}

fn is_mounted_below(build: &Build) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.contains(&*build.store.to_string_lossy())
}

#[test]
fn steps_on_layers_leave_what_they_leave_on_copies_and_nothing_stays_mounted() {
    if !can_build() {
        return;
    }
    for kind in ["rsync", "overlayfs"] {
        let build = Build::new().on(kind);
        assert_eq!(build.steps(&STEPS).done().said(), LEFT, "{kind}");
        assert_eq!(build.steps(&STEPS).done().said(), LEFT, "{kind}, from the store");
        assert!(!is_mounted_below(&build));
        assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
    }
}

#[test]
fn a_stage_made_of_layers_is_copied_from() {
    if !can_build() {
        return;
    }
    let build = Build::new().on("overlayfs");
    let spec = "((build dev ((from empty) (run (shell \"mkdir d; echo x > d/x\")) (run (shell \"rm d/x; echo y > d/y\"))))
         (from empty) (copy (from (build dev)) (src d) (dst /in/)) (run (shell \"find in -type f; cat in/d/*\")))";
    assert_eq!(build.run(spec).done().said(), ["in/d/y", "y"]);
    let missing = spec.replace("(src d)", "(src nope)");
    let told = build.run(&missing).stderr;
    assert_eq!(told, "Build step failed: Source path \"nope\" not found\n");
}

#[test]
fn a_builder_on_layers_that_is_killed_leaves_nothing_mounted_and_the_next_one_goes_on() {
    if !can_build() {
        return;
    }
    let build = Build::new().on("overlayfs");
    let steps = ["echo kept > kept", "echo half > half; echo running; exec sleep 1000"];
    let mut child = build
        .command(&build.spec(&spec_of(&steps)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "running"));
    process::stop(&mut child, Signal::SIGKILL);
    assert!(!is_mounted_below(&build));
    assert_eq!(build.steps(&[steps[0], "ls"]).done().said(), ["kept", "local"]);
    assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
}

/// A daemon that was mounted by hand does not see what the builder mounts for itself.
#[test]
fn a_mount_made_by_hand_is_not_used_for_layers() {
    if !can_build() {
        return;
    }
    let build = Build::new().on("overlayfs");
    let prefix = build.scratch.dir("prefix");
    fs::create_dir(&build.scoreboard).unwrap();
    let build = build.with(format!("--fuse-path={}", prefix.display()));
    let log = build.scratch.path().join("log");
    let mount = Mount::start(&[], &build.scoreboard, &prefix, None, &log);
    let ended = build.steps(&["echo x > local/below", &format!("cat {}/below", prefix.display())]).done();
    assert_eq!(ended.said(), ["x"]);
    assert!(mountinfo::at(&prefix).is_some(), "the build took it away");
    assert!(mount.stop(Signal::SIGTERM).success());
}

#[test]
fn the_best_kind_is_chosen_once_and_said_once() {
    if !can_build() {
        return;
    }
    let build = Build::new().on("auto");
    let first = build.steps(&["echo x"]).done();
    let place = format!(":{}: ", build.store.display());
    assert_eq!(first.stderr.lines().count(), 1, "{}", first.stderr);
    assert!(
        first.stderr.contains("results are kept in ") && first.stderr.contains(&place),
        "{}",
        first.stderr
    );
    assert_eq!(build.steps(&["echo x"]).done().stderr, "");
    assert_eq!(build.on_store(&["ls"]).done().stdout.lines().count(), 3);
}

#[test]
fn a_store_is_copied_and_looked_into() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let id = build.steps(&STEPS).done().id().to_owned();
    let (from, to) = (build.store.display(), build.scratch.path().join("copy"));
    let (from, to) = (format!("rsync:{from}"), format!("overlayfs:{}", to.display()));
    let copied = obuilder(&["store", "copy", &from, &to, &id]).done().stdout;
    assert_eq!(copied.lines().last(), Some("Copied 5 results (0 were there already)"));
    assert_eq!(copied.lines().nth(4), Some(&*id));
    let again = obuilder(&["store", "copy", &from, &to]).done().stdout;
    assert_eq!(again, "Copied 0 results (5 were there already)\n");
    let option = format!("--store={to}");
    let listed = |store: &str| obuilder(&["ls", "--json", &format!("--store={store}")]).done().stdout;
    assert_eq!(listed(&to), listed(&from));
    assert_eq!(obuilder(&["store", "verify", &option]).done().stdout, "5 results are whole\n");
    let deep = |said: &str| {
        let told = obuilder(&["store", "verify", "--deep", &option]).done().stdout;
        assert_eq!(told, format!("5 results are whole; {said}\n"));
    };
    deep("0 are what they were, 5 were read for the first time");
    deep("5 are what they were, 0 were read for the first time");
    let layer = build.scratch.path().join("copy/result").join(&id).join("log");
    fs::remove_file(&layer).unwrap();
    let ended = obuilder(&["store", "verify", "--json", &option]);
    assert_eq!(ended.code, Some(1));
    let what = format!("cannot read {}: no such file or directory", layer.display());
    assert_eq!(ended.stdout, format!("{{\"kind\":\"log\",\"what\":\"{what}\"}}\n"));
}

#[test]
fn stores_that_cannot_be_are_refused_in_one_line() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    build.steps(&["true"]).done();
    let store = build.store.display();
    let ls = |words: &[&str]| obuilder(&[&["ls"], words].concat());
    let other = format!("--store=overlayfs:{store}");
    let told = format!(
        "obuilder: the store {store} is of the kind rsync; use --store=rsync:{store}, or move its results to a \
         store elsewhere with obuilder store copy"
    );
    refused(&ls(&[&other]), 3, &told);
    let mode = format!("--store=auto:{store}");
    assert_eq!(ls(&[&mode, "--rsync-mode=hardlink"]).code, Some(0));
    let new = format!("--store=overlayfs:{store}-new");
    let told =
        format!("obuilder: --rsync-mode is only for stores of the kind rsync, not for overlayfs:{store}-new");
    refused(&ls(&[&new, "--rsync-mode=copy"]), 2, &told);
    let missing = obuilder(&["store", "copy", &format!("rsync:{store}-none"), &format!("rsync:{store}-new")]);
    let told = format!(
        "obuilder: there is no store in {store}-none; give the one that builds use, with --store=rsync:DIR"
    );
    refused(&missing, 3, &told);
    assert!(!build.store.with_file_name("store-new").exists());
}
