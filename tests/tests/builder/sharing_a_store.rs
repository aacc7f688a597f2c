//! Builders that meet in one store, and one that is stopped while nobody reads what it says.
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use obuilder_tests::build::{Ended, spec_of};
use obuilder_tests::{Build, process};

use crate::can_build;

const NOTHING: &[String] = &[];

fn start(build: &Build, spec: &std::path::Path) -> Child {
    let mut command = build.command(spec);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn many_builders_on_one_store_make_each_result_once_and_say_the_same() {
    if !can_build() {
        return;
    }
    let mut builds: Vec<Build> = (0..4).map(|_| Build::new()).collect();
    let store = builds[0].store.clone();
    builds.iter_mut().for_each(|build| build.store.clone_from(&store));
    for round in 0..5 {
        let step = |step| format!("head -c 12 /dev/urandom | base64 # round {round}, step {step}");
        let steps = [0, 1, 2, 3].map(step);
        let spec = builds[0].spec(&spec_of(&steps.each_ref().map(String::as_str)));
        let children: Vec<Child> = builds.iter().map(|build| start(build, &spec)).collect();
        let ended = children.into_iter().map(|child| child.wait_with_output().unwrap());
        let ended: Vec<Ended> = ended.map(|output| Ended::from(output).done()).collect();
        let said = ended[0].said();
        assert_eq!(said.len(), 4);
        for other in &ended {
            assert_eq!(other.said(), said, "round {round}");
        }
        let saved: usize = ended.iter().map(|ended| ended.stdout.matches("saved as").count()).sum();
        assert_eq!(saved, if round == 0 { 5 } else { 4 }, "each result is made by one of them");
    }
    for build in &builds {
        assert_eq!(build.left_behind(), NOTHING);
    }
    assert_eq!(builds[0].on_store(&["doctor"]).done().stdout, "nothing differs\n");
}

/// How many bytes are in the pipe.
fn waiting(pipe: &impl AsRawFd) -> usize {
    let mut bytes = 0;
    nix::ioctl_read_bad!(fionread, nix::libc::FIONREAD, nix::libc::c_int);
    #[allow(unsafe_code)]
    // SAFETY: FIONREAD writes the one integer that it is given the address of.
    unsafe { fionread(pipe.as_raw_fd(), &raw mut bytes) }.unwrap();
    usize::try_from(bytes).unwrap()
}

#[test]
fn a_second_signal_ends_at_once_a_builder_that_nobody_listens_to() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let spec = build.spec(&spec_of(&["yes | head -c 10000000"]));
    let mut child = start(&build, &spec);
    let stdout = child.stdout.take().unwrap();
    assert!(process::eventually(|| waiting(&stdout) >= 60_000), "the pipe never fills");
    process::send(child.id(), Signal::SIGINT).unwrap();
    // Two signals that come before either is heard are one.
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("once more to stop at once")));
    let status = process::stop(&mut child, Signal::SIGINT);
    assert_eq!(status.code(), Some(130));
    drop(stdout);
    assert!(process::eventually(|| build.on_store(&["doctor", "--repair"]).code == Some(0)));
    assert!(process::eventually(|| obuilder_tests::build::processes_of(build.user.uid).is_empty()));
}
