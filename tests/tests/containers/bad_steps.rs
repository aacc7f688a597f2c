//! Steps that no container can run: said before one is made, with what to do.
use std::fs;

use obuilder_tests::Containers;

use crate::{NOTHING, can_build};

/// Operations on the base image, and what is said about them.
const STEPS: [(&str, &str); 13] = [
    (
        "(run (cache (c (target rel))) (shell true))",
        "(target rel): it must be an absolute path, that is, begin with '/'",
    ),
    (
        "(run (cache (c (target \"\"))) (shell true))",
        "(target ): it must be an absolute path, that is, begin with '/'",
    ),
    ("(run (cache (c (target /))) (shell true))", "(target /): it would cover the whole image"),
    ("(run (cache (c (target /tmp/..))) (shell true))", "(target /tmp/..): it would cover the whole image"),
    (
        "(run (cache (c (target /etc/passwd))) (shell true))",
        "cannot show a directory at /etc/passwd: /etc/passwd is not a directory",
    ),
    (
        "(run (cache (c (target /etc/passwd/c))) (shell true))",
        "cannot show a directory at /etc/passwd/c: /etc/passwd is not a directory",
    ),
    ("(run (secrets (s (target /etc))) (shell true))", "cannot show a file at /etc: /etc: is a directory"),
    (
        "(run (secrets (s (target s))) (shell true))",
        "(target s): it must be an absolute path, that is, begin with '/'",
    ),
    (
        "(workdir /etc/passwd) (run (shell true))",
        "cannot work in /etc/passwd: /etc/passwd is not a directory",
    ),
    (
        "(run (shell \"ln -s l /l\")) (workdir /l) (run (shell true))",
        "cannot work in /l: too many levels of symbolic links",
    ),
    (
        "(user (uid 4294967295) (gid 0)) (run (shell true))",
        "(user (uid 4294967295) (gid 0)): in a container ids go from 0 to 2147483647",
    ),
    (
        "(user (name me)) (run (shell true))",
        "(user (name me)): names are for Windows; write (user (uid U) (gid G))",
    ),
    (
        "(env A \"\\255\") (run (shell true))",
        "this step: \"\\xFF\" is not UTF-8, and a container's configuration can hold nothing else",
    ),
];

#[test]
fn steps_that_no_container_can_run_are_told_what_is_wrong_with_them() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let secret = build.scratch.path().join("secret");
    fs::write(&secret, "x").unwrap();
    let build = build.with(format!("--secret=s:{}", secret.display()));
    for (operations, said) in STEPS {
        let ended = build.ops(operations);
        let told = format!("Build step failed: {said}\n");
        assert_eq!((ended.code, ended.stderr), (Some(1), told), "{operations}");
        assert_eq!(build.left_behind(), NOTHING, "{operations}");
    }
}

#[test]
fn words_that_are_too_long_for_the_system_are_told_by_their_length() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let long = "x".repeat(131_072);
    for (operations, said) in [
        (
            format!("(run (shell \"{long}\"))"),
            "the step's command: 131072 bytes are more than the 131071 that the system takes; make it a file, and (copy …) that",
        ),
        (
            format!("(env A {long}) (run (shell true))"),
            "the variable A: 131074 bytes are more than the 131071 that the system takes; put it in a file",
        ),
    ] {
        let ended = build.ops(&operations);
        assert_eq!((ended.code, ended.stderr), (Some(1), format!("Build step failed: {said}\n")));
    }
    let just = "x".repeat(131_071 - "true ".len());
    build.ops(&format!("(run (shell \"true {just}\"))")).done();
}
