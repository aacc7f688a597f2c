//! Builders killed at random moments: the next one starts by itself, takes nothing that is unfinished, finds all that
//! was finished, and leaves nothing behind.
use std::fs;
use std::time::Instant;

use obuilder_tests::build::Ended;
use obuilder_tests::killing::{Moments, ids, killed, kills, not_begun, plant, tell_tales};
use obuilder_tests::{Build, process};

use crate::can_build;

const NOTHING: &[String] = &[];

/// What the steps are told and must not leave anywhere.
const SECRET: &str = "c0ffee-5ec2e7";

/// The spec of moment `n`: a base image, a copy and two commands, none of which was built before. A command that finds
/// its own traces was given the rest of a killed one.
fn spec(build: &Build, n: u64) -> String {
    let image = build.scratch.dir("images").join(format!("image-{n}"));
    fs::create_dir_all(&image).unwrap();
    fs::write(image.join(".obuilder_profile.sh"), "").unwrap();
    let command = |name: &str| {
        format!(
            "test ! -e begun-{name} || exit 9; touch begun-{name}; wc -c < /run/secrets/token; \
             seq 2000 > {name}; echo {name} of {n} > /usr/local/{name}; rm begun-{name}"
        )
    };
    let run = |name| {
        let secrets = "(secrets (token (target /run/secrets/token)))";
        format!(" (run {secrets} (shell \"{}\"))\n", command(name))
    };
    format!("((from image-{n})\n (copy (src .) (dst /src-{n}/))\n{}{})\n", run("a"), run("b"))
}

fn prepared() -> Build {
    let build = Build::new();
    let token = build.scratch.path().join("token");
    plant(&build.source, &token, SECRET);
    let images = format!("--base-images={}", build.scratch.dir("images").display());
    build.with(images).with("--secret").with(format!("token:{}", token.display()))
}

/// Builds the spec of moment `n` to its end and checks all there is to check.
fn finished(build: &Build, n: u64, before: &Ended) {
    let saved = ids(before, "saved as");
    let ended = build.run(&spec(build, n)).done();
    let found = ids(&ended, "using");
    assert!(saved.is_subset(&found), "lost: {:?}", saved.difference(&found));
    let length = SECRET.len().to_string();
    assert_eq!(ended.said(), [&*length, &*length], "the logs are whole");
    assert_eq!(found.len() + ids(&ended, "saved as").len(), 4);
    let rootfs = build.result(ended.id()).join("rootfs");
    for name in ["a", "b"] {
        assert_eq!(fs::read_to_string(rootfs.join(name)).unwrap().lines().count(), 2000);
        let local = fs::read_to_string(rootfs.join("local").join(name)).unwrap();
        assert_eq!(local, format!("{name} of {n}\n"));
    }
    let copied = fs::read_dir(rootfs.join(format!("src-{n}"))).unwrap().count();
    assert_eq!(copied, 20);
    assert!(process::eventually(|| build.left_behind().is_empty()), "{:?}", build.left_behind());
    let doctor = build.on_store(&["doctor"]);
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
    for n in 2..2 + kills(20, 40) {
        let moment = moments.next(limit);
        let text = spec(&build, n);
        let (_, before) = killed(&mut build.command(&build.spec(&text)), moment);
        eprintln!("{n}: killed after {moment:?}, with {} results saved", ids(&before, "saved as").len());
        finished(&build, n, &before);
    }
    assert_eq!(tell_tales(&build.store, SECRET), "");
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn a_store_command_killed_at_any_moment_leaves_a_store_that_is_whole() {
    if !can_build() {
        return;
    }
    let build = prepared();
    let mut moments = Moments::new();
    for n in 0..kills(5, 15) {
        finished(&build, n, &not_begun());
        for words in [&["clean"][..], &["doctor", "--repair"]] {
            let began = Instant::now();
            process::output(&mut build.store_command(&["ls"]));
            killed(&mut build.store_command(words), moments.next(3 * began.elapsed()));
        }
        // Whatever is left of the results must do.
        finished(&build, n, &not_begun());
    }
}
