//! Several builders on one store and one machine.
use std::process::{Child, Command, Stdio};

use obuilder_tests::Build;
use obuilder_tests::build::{Ended, spec_of};

use crate::can_build;

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().unwrap())
}

#[test]
fn two_that_want_the_same_step_share_one_run_of_it() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let mut other = Build::new();
    other.store.clone_from(&build.store);
    let spec = build.spec(&spec_of(&["head -c 16 /dev/urandom | od -An -tx1; sleep 1"]));
    let children = [start(build.command(&spec)), start(other.command(&spec))];
    let [first, second] = children.map(|child| end(child).done());
    assert_eq!(first.id(), second.id());
    assert_eq!(first.said(), second.said(), "both show the log of the one run");
}

#[test]
fn many_users_build_in_the_same_prefix_at_once() {
    if !can_build() {
        return;
    }
    let builds: Vec<Build> = (0..4).map(|_| Build::new()).collect();
    let script = "mkdir -p /usr/local/bin; for i in $(seq 200); do echo $(id -u) > /usr/local/bin/file; cat /usr/local/bin/file; done | sort -u";
    let children: Vec<Child> =
        builds.iter().map(|build| start(build.command(&build.spec(&spec_of(&[script]))))).collect();
    for (build, child) in builds.iter().zip(children) {
        assert_eq!(end(child).done().said(), [build.user.uid.to_string()]);
        assert_eq!(build.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn two_that_want_the_same_user_do_not_disturb_each_other() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let spec = |n: u32| {
        let path = build.scratch.path().join(format!("spec-{n}"));
        std::fs::write(
            &path,
            spec_of(&[&format!("echo {n} > /usr/local/who; sleep 0.5; cat /usr/local/who")]),
        )
        .unwrap();
        path
    };
    let children = [1, 2].map(|n| (n, start(build.command(&spec(n)))));
    for (n, child) in children {
        let ended = end(child);
        // The second may wait or be refused; it must say so and never spoil the first.
        match ended.code {
            Some(0) => assert_eq!(ended.said(), [n.to_string()]),
            _ => assert!(ended.stderr.contains(&build.user.uid.to_string()), "{ended:?}"),
        }
    }
}
