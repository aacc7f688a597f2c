//! Builders of containers that meet in one store.
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use obuilder_tests::build::Ended;
use obuilder_tests::containers::run;
use obuilder_tests::{Containers, process};

use crate::{NOTHING, can_build};

#[test]
fn two_builders_on_one_store_make_each_result_once_and_say_the_same() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    for round in 0..8 {
        let step = |step| {
            let command = format!("head -c 12 /dev/urandom | base64 # round {round}, step {step}");
            format!("(run (cache (c (target /c))) (shell \"{command}\"))")
        };
        let spec = build.spec(&build.text(&(0..4).map(step).collect::<String>()));
        let start = || {
            let mut command = build.command(&spec);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: [Child; 2] = [start(), start()];
        let [one, two] = children.map(|child| Ended::from(child.wait_with_output().unwrap()).done());
        assert_eq!(one.said(), two.said(), "round {round}");
        assert_eq!(one.id(), two.id());
        let saved = [&one, &two].map(|ended| ended.stdout.matches("saved as").count());
        assert_eq!(saved.iter().sum::<usize>(), if round == 0 { 5 } else { 4 }, "{saved:?}");
    }
    assert_eq!(build.left_behind(), NOTHING);
    let doctor = Ended::from(process::output(&mut build.store_command(&["doctor"])));
    assert_eq!(doctor.stdout, "nothing differs\n");
}

#[test]
fn a_builder_that_waits_for_anothers_step_makes_it_itself_when_the_other_is_killed() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let text = build.text(&run("echo waiting; sleep 1; echo done"));
    let (mut first, _output) = build.start_waiting(&text);
    let second =
        build.command(&build.spec(&text)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lock = build.store.join("result-tmp");
    assert!(process::eventually(|| obuilder_tests::build::names(&lock).len() == 1));
    process::stop(&mut first, Signal::SIGKILL);
    let ended = Ended::from(second.wait_with_output().unwrap()).done();
    assert!(ended.said().ends_with(&["waiting", "done"]), "{ended:?}");
    assert_eq!(build.left_behind(), NOTHING);
}
