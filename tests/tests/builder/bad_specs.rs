//! Specs that cannot be built: file, line and column, the line itself, and what to do.
use std::path::Path;

use obuilder_tests::Build;
use obuilder_tests::build::Ended;

use crate::{can_build, refused};

/// A spec, the place named after its path, and what is said about it.
const UNREADABLE: [(&str, &str, &str); 11] = [
    ("", "1:1", "the text is empty: it must hold one expression\n1 | \n    ^"),
    (
        "; only a comment",
        "1:17",
        "the text is empty: it must hold one expression\n1 | ; only a comment\n                    ^",
    ),
    (
        "((from empty)\n (run (shell \"x\")\n",
        "2:2",
        "this \"(\" is never closed\n2 |  (run (shell \"x\")\n     ^\nhint: add the missing \")\", or look for a string that was not closed",
    ),
    (
        "((from empty))\n)",
        "2:1",
        "unexpected \")\"\n2 | )\n    ^\nhint: there is no open \"(\" that it could close",
    ),
    (
        "((from empty)\n (run (shell \"x)))\n",
        "2:14",
        "this string is never closed\n2 |  (run (shell \"x)))\n                 ^\nhint: add the missing \"",
    ),
    (
        "((from empty) (run (shell \"true\"))) x",
        "1:37",
        "unexpected text after the end of the expression\n1 | ((from empty) (run (shell \"true\"))) x\n                                        ^\nhint: look for a \")\" too many before it: everything belongs in one pair of parentheses",
    ),
    (
        "((from empty)\n (rnu (shell x)))",
        "2:3",
        "unknown operation \"rnu\"\n2 |  (rnu (shell x)))\n      ^\nhint: did you mean \"run\"?",
    ),
    (
        "((from empty)\n (run (shall x)))",
        "2:8",
        "run: unknown field \"shall\"\n2 |  (run (shall x)))\n           ^\nhint: did you mean \"shell\"?",
    ),
    (
        "((from empty)\n (run))",
        "2:2",
        "run: field \"shell\" is missing\n2 |  (run))\n     ^\nhint: add (shell …) to it",
    ),
    (
        "((run (shell x)))",
        "1:2",
        "expected (from BASE) before this\n1 | ((run (shell x)))\n     ^\nhint: a spec begins with its (build NAME SPEC) stages, then (from BASE), then the operations",
    ),
    ("hello", "1:1", "a spec is a list: ((from BASE) OP…)\n1 | hello\n    ^"),
];

#[test]
fn specs_that_cannot_be_read_show_the_line_and_the_place() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    for (text, place, said) in UNREADABLE {
        let ended = build.run(text);
        let spec = build.scratch.path().join("spec");
        refused(&ended, 2, &format!("obuilder: {}:{place}: {said}", spec.display()));
        assert!(ended.stdout.is_empty(), "{text:?} printed {}", ended.stdout);
    }
    assert!(!build.store.exists(), "nothing is made for a spec that is none");
}

#[test]
fn a_spec_that_is_missing_or_no_file_is_named() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let missing = build.scratch.path().join("no-such-spec");
    for (spec, why) in [(missing.as_path(), "No such file or directory"), (&build.source, "Is a directory")] {
        let ended = build.run_file(spec);
        refused(&ended, 2, &format!("obuilder: cannot read the spec: {}: {why}", spec.display()));
    }
}

#[test]
fn a_base_image_that_is_missing_says_where_it_was_looked_for() {
    if !can_build() {
        return;
    }
    let spec = "((from nosuch) (run (shell true)))";
    let said = |dir: &Path| {
        format!(
            "Build step failed: base image \"nosuch\" not found: there is no directory {}/nosuch; make one with .obuilder_profile.sh in it, or name another place with --base-images=DIR, or begin with (from empty)",
            dir.display()
        )
    };
    let build = Build::new();
    refused(&build.run(spec), 1, &said(Path::new("/home")));
    let images = build.scratch.dir("images");
    let build = build.with(format!("--base-images={}", images.display()));
    refused(&build.run(spec), 1, &said(&images));
}

#[test]
fn a_base_image_is_a_name_and_never_a_path() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let images = build.scratch.dir("images");
    let build = build.with(format!("--base-images={}", images.display()));
    for name in ["../images", "a/b", "..", "/"] {
        let ended = build.run(&format!("((from {name}) (run (shell true)))"));
        let said = "a name must not be empty, \".\" or \"..\", or hold a \"/\"";
        refused(&ended, 1, &format!("Build step failed: base image \"{name}\": {said}"));
    }
}

#[test]
fn a_secret_without_a_value_fails_the_step_by_its_name() {
    if !can_build() {
        return;
    }
    let spec = "((from empty) (run (secrets (nope (target /run/secrets/nope))) (shell true)))";
    refused(&Build::new().run(spec), 1, "Build step failed: Couldn't find value for requested secret 'nope'");
    let run = |value: &str| -> Ended { Build::new().with("--secret").with(value).run(spec) };
    refused(
        &run("nope:/no/such/file"),
        2,
        "obuilder: cannot read the secret nope: /no/such/file: No such file or directory",
    );
    refused(
        &run("nope"),
        2,
        "obuilder: invalid value 'nope' for '--secret <ID:FILE>': it must be ID:FILE, as token:/root/token\nhint: --help shows what it takes",
    );
}

#[test]
fn a_network_that_is_not_the_hosts_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let ended = build.run("((from empty) (run (network bridge) (shell true)))");
    let told = "Failure(\"Unsupported network configuration [\\\"bridge\\\"]\")";
    refused(&ended, 1, &format!("Build step failed: {told}"));
}
