//! What cannot be built: one clear line that names the thing, and nothing lost.
use std::fs;
use std::process::Command;

use obuilder_tests::build::Ended;
use obuilder_tests::{Build, User, binary, process};

use crate::can_build;

/// Checks that `ended` has the exit code, that every word of `expected` is said, and that nothing crashed.
#[track_caller]
fn refused(ended: &Ended, code: i32, expected: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for word in expected {
        assert!(ended.stderr.contains(word), "{word:?} is not in: {}", ended.stderr);
    }
    assert!(
        !ended.stderr.contains("panicked") && !ended.stderr.contains("RUST_BACKTRACE"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.lines().count() <= 6, "too long:\n{}", ended.stderr);
}

#[test]
fn a_missing_spec_is_named() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_750);
    let missing = build.scratch.path().join("no-such-spec");
    let ended = Ended::from(process::output(&mut build.command(&missing)));
    refused(&ended, 2, &["no-such-spec", "No such file"]);
}

#[test]
fn specs_that_cannot_be_read_show_the_line_and_the_place() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_751);
    let cases: [(&str, &[&str]); 9] = [
        ("", &["empty"]),
        ("; only a comment\n", &["empty"]),
        ("((from empty)\n (run (shell \"x\")\n", &["spec:", "never closed", "(run"]),
        ("((from empty))\n)", &["2:1", ")"]),
        ("((from empty)\n (run (shell \"x)))\n", &["2:", "\"x)))"]),
        ("((from empty)\n (rnu (shell x)))", &["2:3", "rnu", "run", "(rnu (shell x))"]),
        ("((from empty)\n (run (shall x)))", &["2:", "shall", "shell"]),
        ("((from empty)\n (run))", &["2:", "shell"]),
        ("((run (shell x)))", &["from"]),
    ];
    for (text, expected) in cases {
        let ended = build.run(text);
        refused(&ended, 2, expected);
        assert!(ended.stdout.is_empty(), "{text:?} printed {}", ended.stdout);
    }
    assert!(build.results().is_empty());
}

#[test]
fn a_missing_base_image_says_where_it_was_looked_for() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_752);
    let images = build.scratch.dir("images");
    let build = build.with(format!("--base-images={}", images.display()));
    let ended = build.run("((from nosuchbase) (run (shell true)))");
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains(&format!("{}/nosuchbase", images.display())), "{}", ended.stderr);
    for name in ["../images", "a/b", "..", "\"\""] {
        let ended = build.run(&format!("((from {name}) (run (shell true)))"));
        assert!(matches!(ended.code, Some(1..=3)), "{ended:?}");
    }
}

#[test]
fn uids_that_are_no_build_users_are_refused() {
    if !can_build() {
        return;
    }
    let uids: [(&str, &[&str]); 6] = [
        ("abc", &["--uid", "abc"]),
        ("-1", &["-1"]),
        ("99999999999", &["99999999999"]),
        ("0", &["0", "500"]),
        ("499", &["499", "500"]),
        ("65534", &["65534", "nobody"]),
    ];
    for (uid, expected) in uids {
        let build = Build::new(41_753).with(format!("--uid={uid}"));
        let spec = build.spec("((from empty) (run (shell true)))");
        let mut command = Command::new(binary::obuilder());
        command.arg("macos").arg(&build.source).arg("-f").arg(spec).arg(format!("--uid={uid}"));
        command.arg(format!("--store=rsync:{}", build.store.display()));
        command.arg(format!("--scoreboard={}", build.scoreboard.display()));
        let ended = Ended::from(process::output(&mut command));
        assert!(matches!(ended.code, Some(2 | 3)), "{ended:?}");
        refused(&ended, ended.code.unwrap(), expected);
    }
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_754);
    let file = build.scratch.path().join("a-file");
    fs::write(&file, "x").unwrap();
    let stores = [
        (format!("rsync:{}/below", file.display()), 3, "a-file"),
        ("rsync:relative".to_owned(), 2, "relative"),
        ("nosuch:/x".to_owned(), 2, "nosuch"),
        ("rsync:/proc/obuilder".to_owned(), 3, "/proc/obuilder"),
    ];
    for (store, code, expected) in stores {
        let spec = build.spec("((from empty) (run (shell true)))");
        let mut command = Command::new(binary::obuilder());
        command.arg("macos").arg(&build.source).arg("-f").arg(spec).arg(format!("--store={store}"));
        command
            .arg(format!("--uid={}", build.uid))
            .arg(format!("--scoreboard={}", build.scoreboard.display()));
        refused(&Ended::from(process::output(&mut command)), code, &[expected]);
    }
}

#[test]
fn a_source_that_is_missing_or_no_directory_is_named() {
    if !can_build() {
        return;
    }
    let mut build = Build::new(41_755);
    build.source = build.scratch.path().join("no-such-source");
    let ended = build.run("((from empty) (copy (src x) (dst y)))");
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("no-such-source"), "{}", ended.stderr);
}

#[test]
fn a_secret_without_a_value_fails_the_step_by_its_name() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_756);
    let ended = build.run("((from empty) (run (secrets (nope (target /run/secrets/nope))) (shell true)))");
    refused(&ended, 1, &["Couldn't find value for requested secret 'nope'"]);
    let unreadable = Build::new(41_757).with("--secret").with("x:/no/such/file");
    refused(&unreadable.steps(&["true"]), 2, &["/no/such/file"]);
    let no_colon = Build::new(41_757).with("--secret").with("x");
    refused(&no_colon.steps(&["true"]), 2, &["--secret"]);
}

#[test]
fn an_ordinary_user_is_told_that_root_is_needed() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_758);
    let copy = build.scratch.path().join("obuilder");
    fs::copy(binary::obuilder(), &copy).unwrap();
    let spec = build.spec("((from empty) (run (shell true)))");
    let mut command = Command::new(&copy);
    command.arg("macos").arg(&build.source).arg("-f").arg(spec);
    let ended = Ended::from(User::new(41_799).run(|| process::output(&mut command)));
    refused(&ended, 3, &["root"]);
}

#[test]
fn a_machine_without_fuse_is_told_so_and_builds_without_the_file_system() {
    if !can_build() {
        return;
    }
    let build = Build::new(41_759);
    let spec = build.spec("((from empty) (run (shell \"echo built\")))");
    // A namespace in which /dev has no fuse.
    let without_fuse = |command: &Command| {
        let mut wrapped = Command::new("unshare");
        wrapped.args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt && touch /mnt/empty && for d in null zero random urandom tty full; do touch /mnt/$d && mount --bind /dev/$d /mnt/$d; done && mount --rbind /mnt /dev && exec \"$@\"", "sh"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        Ended::from(process::output(&mut wrapped))
    };
    refused(&without_fuse(&build.command(&spec)), 3, &["/dev/fuse"]);
    let mut command = build.command(&spec);
    command.arg("--no-fuse");
    let ended = without_fuse(&command).done();
    assert_eq!(ended.said(), ["built"]);
}

#[test]
fn wrong_usage_exits_2_and_help_exits_0() {
    let run = |args: &[&str]| Ended::from(process::output(Command::new(binary::obuilder()).args(args)));
    for args in [&["macos"][..], &["nosuchcommand"], &["macos", ".", "--nosuch"], &["macos", ".", "-f"]] {
        refused(&run(args), 2, &[]);
    }
    for args in [&["--help"][..], &["macos", "--help"], &["--version"]] {
        let ended = run(args).done();
        assert!(!ended.stdout.is_empty());
    }
}
