//! Commands that print specs, and the one that looks at the machine. The first need nothing of it.
use std::process::Command;

use obuilder_tests::build::Ended;
use obuilder_tests::{Containers, Scratch, binary, process};

use crate::{NOTHING, can_build};

fn print(words: &[&str], spec: &str) -> Ended {
    let scratch = Scratch::new();
    let path = scratch.path().join("spec");
    std::fs::write(&path, spec).unwrap();
    let mut command = Command::new(binary::obuilder());
    process::output(command.args(words).arg("-f").arg(&path)).into()
}

#[test]
fn a_dockerfile_is_printed_as_the_original_does_or_strictly() {
    let spec = "((from b) (comment \"one\ntwo\") (run (cache (c (target /c))) (shell x)))";
    let plain = print(&["dockerfile"], spec).done();
    assert_eq!(plain.stdout, "FROM b\n# one\ntwo\nRUN x\n\n");
    assert!(plain.stderr.contains("Docker reads parts of this otherwise"), "{}", plain.stderr);
    let strict = print(&["dockerfile", "--strict", "--buildkit"], spec).done();
    let lines = "FROM b\n# one\n# two\nRUN --mount=type=cache,id=c,target=/c,uid=0 [\"/usr/bin/env\", \"bash\", \"-c\", \"x\"]\n\n";
    assert_eq!((strict.stdout.as_str(), strict.stderr.as_str()), (lines, ""));
    let windows = print(&["dockerfile", "--escape=windows"], "((from b))").done();
    assert_eq!((windows.stdout.as_str(), windows.stderr.as_str()), ("#escape=`\nFROM b\n\n", ""));
}

#[test]
fn a_spec_is_laid_out() {
    let ended = print(&["fmt"], "; gone\n((from b)(run(network host)(shell \"a b\")))").done();
    assert_eq!(ended.stdout, "((from b)\n (run (network host)\n      (shell \"a b\")))\n");
    let bad = print(&["fmt"], "((from b)(rnu x))");
    assert_eq!(bad.code, Some(2));
    assert!(bad.stderr.contains("did you mean \"run\"?"), "{}", bad.stderr);
}

#[test]
fn a_healthy_machine_passes_and_keeps_nothing_of_the_check() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let check = |more: &[String]| -> Ended {
        let mut command = Command::new(binary::obuilder());
        command.arg("healthcheck").arg(format!("--store=rsync:{}", build.store.display())).args(more);
        process::output(&mut command).into()
    };
    let image = format!("--image={}", build.image.display());
    for _ in 0..2 {
        let ended = check(&[image.clone(), "--fast-sync".to_owned()]).done();
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("Healthcheck passed\n", ""));
        assert_eq!(build.results().len(), 1, "the base alone");
        assert_eq!(build.left_behind(), NOTHING);
    }
    let sick = check(&[image, "--runtime=/bin/false".to_owned()]);
    assert_eq!(sick.code, Some(3));
    assert!(sick.stderr.contains("/bin/false did not run the step"), "{}", sick.stderr);
}
