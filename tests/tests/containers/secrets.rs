//! Secrets: for one step alone, in memory, without a trace.
use std::fs;
use std::path::Path;
use std::process::Command;

use obuilder_tests::Containers;

use crate::{NOTHING, can_build};

fn with_secret(build: Containers) -> Containers {
    let file = build.scratch.path().join("token");
    fs::write(&file, "hunter2").unwrap();
    let option = format!("--secret=token:{}", file.display());
    build.with(option)
}

#[test]
fn a_secret_is_its_users_to_read_and_nobodys_to_write() {
    if !can_build() {
        return;
    }
    let build = with_secret(Containers::new());
    let look = "stat -c '%a %u %g %s' /run/secrets/token; mount | grep -c 'tmpfs on /run/secrets/token .*(ro'; \
                test $(cat /run/secrets/token) = hunter2 && echo right; echo x 2>/dev/null > /run/secrets/token || echo refused";
    let secret = "(secrets (token (target /run/secrets/token)))";
    let ended = build
        .ops(&format!(
            "(run {secret} (shell \"{look}\")) (user (uid 1000) (gid 1001)) (run {secret} (shell \"{look}\"))"
        ))
        .done();
    let as_root = ["400 0 0 7", "1", "right", "refused"];
    let as_user = ["400 1000 1001 7", "1", "right", "refused"];
    let said: Vec<_> = ended.said();
    assert_eq!(
        said.iter().filter(|line| !line.contains("(shell")).copied().collect::<Vec<_>>(),
        [as_root, as_user].concat()
    );
}

/// Every entry of a tree with its kind, mode, time and size.
fn listed(rootfs: &Path) -> Vec<String> {
    let found = Command::new("find").arg(rootfs).args(["-printf", "%P %y %m %T@ %s\\n"]).output().unwrap();
    let mut lines: Vec<_> = String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_secret_leaves_no_trace_in_the_image_nor_in_the_store() {
    if !can_build() {
        return;
    }
    let build = with_secret(Containers::new());
    let base = build.ops("").done();
    let ended = build
        .ops(
            "(run (secrets (token (target /run/secrets/deep/token)) (token (target /etc/token)) (token (target /bin/token)))
                  (shell \"cat /run/secrets/deep/token /etc/token /bin/token >/dev/null\"))",
        )
        .done();
    assert_eq!(listed(&build.rootfs(ended.id())), listed(&build.rootfs(base.id())));
    let found = Command::new("grep").args(["-rl", "hunter2"]).arg(&build.store).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn a_secret_that_was_not_given_or_has_no_place_is_named() {
    if !can_build() {
        return;
    }
    let build = with_secret(Containers::new());
    for (secret, told) in [
        ("(nope (target /s))", "Build step failed: Couldn't find value for requested secret 'nope'\n"),
        (
            "(token (target s))",
            "Build step failed: (target s): it must be an absolute path, that is, begin with '/'\n",
        ),
        ("(token (target /etc))", "Build step failed: cannot show a file at /etc: /etc: is a directory\n"),
        (
            "(token (target /etc/passwd/x))",
            "Build step failed: cannot show a file at /etc/passwd/x: /etc/passwd is not a directory\n",
        ),
    ] {
        let ended = build.ops(&format!("(run (secrets {secret}) (shell true))"));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), told));
        assert_eq!(build.left_behind(), NOTHING);
    }
}
