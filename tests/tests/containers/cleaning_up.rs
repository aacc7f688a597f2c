//! Steps that hang on, builders that are killed, runtimes that do not run: nothing is left behind.
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use obuilder_tests::containers::{is_running, run};
use obuilder_tests::process::Guarded;
use obuilder_tests::{Containers, mountinfo, process};

use crate::{NOTHING, can_build};

/// Control groups of containers that are no more.
fn cgroups() -> Vec<String> {
    let mut found = Vec::new();
    for place in ["/sys/fs/cgroup", "/sys/fs/cgroup/devices", "/sys/fs/cgroup/pids"] {
        let names = obuilder_tests::build::names(Path::new(place));
        found.extend(names.into_iter().filter(|name| name.contains("obuilder-")));
    }
    found
}

#[test]
fn what_a_step_leaves_running_ends_with_it() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build.steps(&["setsid sleep 86401 & (sleep 86402 &); trap '' TERM; echo done"]).done();
    assert_eq!(ended.said(), ["done"]);
    assert!(!is_running("86401") && !is_running("86402"));
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn a_build_that_is_stopped_exits_130_and_leaves_nothing() {
    if !can_build() {
        return;
    }
    for (signal, word) in [(Signal::SIGINT, "86403"), (Signal::SIGTERM, "86404")] {
        let build = Containers::new();
        let text = build.text(
            &(run("echo first")
                + &run(&format!("trap '' INT TERM; echo waiting; setsid sleep {word} & wait"))),
        );
        let (mut child, _output) = build.start_waiting(&text);
        assert_eq!(process::stop(&mut child, signal).code(), Some(130), "{signal}");
        assert!(!is_running(word));
        assert_eq!(build.left_behind(), NOTHING, "{signal}");
        assert_eq!(build.results().len(), 2, "the base and the first step");
    }
}

#[test]
fn a_build_that_is_stopped_while_it_clones_a_large_tree_ends_at_once_and_leaves_nothing() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let many = run("cd /home; n=0; while [ $n -lt 300 ]; do mkdir $n; n=$((n+1)); done; \
                    seq 1 100 | while read f; do echo $f > 0/$f; done; for d in [1-9]*; do cp 0/* $d; done");
    build.ops(&many).done();
    let results = build.results().len();
    let spec = build.spec(&build.text(&(many + &run("true"))));
    let mut child = Guarded::from(build.command(&spec).stdout(Stdio::null()).spawn().unwrap());
    let draft = || obuilder_tests::build::names(&build.store.join("result-tmp")).pop();
    let cloning = || {
        let draft = build.store.join("result-tmp").join(draft()?).join("rootfs/home");
        fs::read_dir(draft).ok()?.next()
    };
    assert!(process::eventually(|| cloning().is_some()), "it never clones");
    assert_eq!(process::stop(&mut child, Signal::SIGINT).code(), Some(130));
    assert_eq!(build.left_behind(), NOTHING);
    assert_eq!(build.results().len(), results);
}

#[test]
fn a_killed_builder_takes_its_container_with_it_and_the_next_one_clears_up() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let secret = build.scratch.path().join("secret");
    fs::write(&secret, "x").unwrap();
    let option = format!("--secret=s:{}", secret.display());
    let build = build.with(option);
    let text = build.text("(run (secrets (s (target /s))) (cache (c (target /c))) (shell \"echo waiting; setsid sleep 86405 & wait\"))");
    let (mut child, _output) = build.start_waiting(&text);
    // What others mount on this machine meanwhile does not count.
    assert_eq!(mountinfo::below(build.scratch.path()), [], "mounts are not to be seen outside");
    process::stop(&mut child, Signal::SIGKILL);
    assert!(process::eventually(|| !is_running("86405")), "the step goes on");
    assert!(!build.left_behind().is_empty(), "the directories of the killed build are still there");
    build.steps(&["echo next"]).done();
    assert_eq!(build.left_behind(), NOTHING);
    let of_ours = || {
        cgroups().into_iter().filter(|name| name.contains(&format!("-{:x}-", child.id()))).collect::<Vec<_>>()
    };
    assert!(process::eventually(|| of_ours().is_empty()), "{:?}", of_ours());
}

#[test]
fn a_killed_runtime_does_not_take_the_step_with_it_and_leaves_nothing() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let wait = "(run (shell \"echo waiting; n=0; while [ $n -lt 10 ]; do usleep 100000; n=$((n+1)); done; echo went on\"))";
    let (mut child, mut output) = build.start_waiting(&build.text(wait));
    let runtime = children_of(child.id());
    assert_eq!(runtime.len(), 1, "{runtime:?}");
    process::send(runtime[0], Signal::SIGKILL).unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("went on\n---> saved as"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(build.left_behind(), NOTHING);
}

/// The processes that `id` has started.
fn children_of(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<u32>>())
        .collect()
}

#[test]
fn a_runtime_that_is_not_there_or_does_not_run_is_told_as_such() {
    if !can_build() {
        return;
    }
    let missing = Containers::new().with("--runtime=no-such-runtime").steps(&["true"]);
    assert_eq!(missing.code, Some(3));
    assert_eq!(
        missing.stderr,
        "obuilder: no container runtime no-such-runtime; install runc or crun, or name one with --runtime\n"
    );
    let build = Containers::new();
    let script = build.scratch.path().join("runtime");
    fs::write(&script, "#!/bin/sh\necho it broke >&2\nexit 7\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let option = format!("--runtime={}", script.display());
    let build = build.with(option);
    let broken = build.steps(&["true"]);
    assert_eq!((broken.code, broken.said()), (Some(3), vec!["it broke"]));
    let told = format!(
        "obuilder: {} did not run the step (exit status: 7); what it said is above\n",
        script.display()
    );
    assert_eq!(broken.stderr, told);
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn several_builds_run_at_once_on_one_store() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    build.steps(&["true"]).done();
    let texts: Vec<String> = (0..4).map(|n| build.text(&run(&format!("echo {n} > /f; cat /f")))).collect();
    let children: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let spec = build.scratch.path().join(format!("spec-{n}"));
            fs::write(&spec, text).unwrap();
            let mut command = build.command(&spec);
            command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        let ended = obuilder_tests::build::Ended::from(child.wait_with_output().unwrap()).done();
        assert_eq!(ended.said(), [n.to_string()]);
    }
    assert_eq!(build.left_behind(), NOTHING);
}
