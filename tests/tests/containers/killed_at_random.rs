//! Builders of containers killed at random moments: the next one starts by itself, takes nothing that is unfinished,
//! finds all that was finished, and leaves nothing behind.
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use obuilder_tests::build::Ended;
use obuilder_tests::containers::{cgroups_of, running_with};
use obuilder_tests::killing::{Moments, ids, killed, kills, not_begun, plant, tell_tales};
use obuilder_tests::{Containers, process};

use crate::{NOTHING, can_build};

/// What the steps are told and must not leave anywhere.
const SECRET: &str = "c0ffee-5ec2e8";

fn prepared() -> Containers {
    let build = Containers::new();
    let token = build.scratch.path().join("token");
    plant(&build.source, &token, SECRET);
    build.with("--secret").with(format!("token:{}", token.display()))
}

/// The spec of moment `n`: a base image, a copy and two commands, none of which was built before. A command that finds
/// its own traces was given the rest of a killed one.
fn spec(build: &Containers, n: u64) -> String {
    let image = build.scratch.path().join(format!("image-{n}"));
    if !image.exists() {
        symlink(&build.image, &image).unwrap();
    }
    let run = |name: &str| {
        let command = format!(
            "test ! -e /begun-{name} || exit 9; touch /begun-{name}; wc -c < /run/secrets/token; seq 2000 > /{name}; \
             echo {name} of {n} >> /cache/f; sync; rm /begun-{name} # {}",
            build.scratch.path().display()
        );
        format!(
            " (run (cache (c (target /cache))) (secrets (token (target /run/secrets/token))) (shell \"{command}\"))\n"
        )
    };
    let copy = format!("(copy (src .) (dst /src-{n}/))");
    format!("((from {}) (shell /bin/sh -c) {copy}\n{}{})", image.display(), run("a"), run("b"))
}

/// Builds the spec of moment `n` to its end and checks all there is to check.
fn finished(build: &Containers, n: u64, before: &Ended) {
    let saved = ids(before, "saved as");
    let ended = build.run(&spec(build, n)).done();
    let found = ids(&ended, "using");
    assert!(saved.is_subset(&found), "lost: {:?}", saved.difference(&found));
    let length = SECRET.len().to_string();
    let said = ended.said();
    assert_eq!(said.iter().filter(|line| **line == length).count(), 2, "the logs are whole: {said:?}");
    assert_eq!(found.len() + ids(&ended, "saved as").len(), 4);
    let rootfs = build.rootfs(ended.id());
    for name in ["a", "b"] {
        assert_eq!(fs::read_to_string(rootfs.join(name)).unwrap().lines().count(), 2000);
    }
    assert_eq!(fs::read_dir(rootfs.join(format!("src-{n}"))).unwrap().count(), 20);
    assert!(!rootfs.join("run/secrets").exists(), "the image has a trace of the secret");
    let cache = fs::read_to_string(build.store.join("cache/c/f")).unwrap();
    let whole = |line: &str| line.starts_with("a of ") || line.starts_with("b of ");
    assert!(cache.ends_with('\n') && cache.lines().all(whole), "{cache}");
    assert!(process::eventually(|| build.left_behind().is_empty()), "{:?}", build.left_behind());
    let doctor = Ended::from(process::output(&mut build.store_command(&["doctor"])));
    assert_eq!((doctor.code, doctor.stdout.as_str()), (Some(0), "nothing differs\n"), "{doctor:?}");
}

#[test]
fn a_builder_killed_at_any_moment_loses_nothing_spoils_nothing_and_leaves_nothing() {
    if !can_build() {
        return;
    }
    let build = prepared();
    finished(&build, 0, &not_begun());
    let began = Instant::now();
    build.run(&spec(&build, 1)).done();
    let limit = began.elapsed();
    let mut moments = Moments::new();
    for n in 2..2 + kills(10, 25) {
        let moment = moments.next(limit);
        let text = spec(&build, n);
        let (id, before) = killed(&mut build.command(&build.spec(&text)), moment);
        eprintln!("{n}: killed after {moment:?}, with {} results saved", ids(&before, "saved as").len());
        let ours = build.scratch.path().display().to_string();
        assert!(process::eventually(|| running_with(&ours).is_empty()), "{:?}", running_with(&ours));
        finished(&build, n, &before);
        assert!(process::eventually(|| cgroups_of(id).is_empty()), "{:?}", cgroups_of(id));
    }
    assert_eq!(tell_tales(&build.store, SECRET), "");
    assert_eq!(build.left_behind(), NOTHING);
}
