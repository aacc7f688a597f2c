//! Command lines and machines that cannot work: one clear line that names the thing, and nothing lost.
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use obuilder_tests::build::{Ended, spec_of};
use obuilder_tests::{Build, Mount, User, binary, process};

use crate::{can_build, refused};

const ONE_STEP: &str = "((from empty) (run (shell true)))";

/// Builds one step with `option` in place of the one of that name that a build has otherwise.
fn build_with(build: &Build, option: &str) -> Ended {
    let name = format!("{}=", option.split('=').next().unwrap());
    let usual = build.command(&build.spec(ONE_STEP));
    let mut command = Command::new(usual.get_program());
    command.args(usual.get_args().filter(|arg| !arg.to_string_lossy().starts_with(&name))).arg(option);
    process::output(&mut command).into()
}

/// Checks that `option` is refused in the words of `said`, where `DIR` stands for the build's directory.
#[track_caller]
fn refuses(build: &Build, option: &str, code: i32, said: &str) {
    let dir = build.scratch.path().display().to_string();
    refused(&build_with(build, &option.replace("DIR", &dir)), code, &said.replace("DIR", &dir));
    assert_eq!(build.left_behind(), Vec::<String>::new(), "{option}");
}

#[test]
fn a_uid_that_is_no_number_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    for uid in ["abc", "-1", "99999999999", "7.5", ""] {
        let ended = build_with(&build, &format!("--uid={uid}"));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let begins = format!("obuilder: invalid value '{uid}' for '--uid <UID[-LAST]>': ");
        assert!(ended.stderr.starts_with(&begins), "{}", ended.stderr);
        assert!(ended.stderr.ends_with("\nhint: --help shows what it takes\n"), "{}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    }
}

#[test]
fn a_uid_of_the_systems_or_of_somebody_elses_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    for uid in [0, 499] {
        let said = "is one of the system's own; choose one of 500 or more with --uid";
        refuses(&build, &format!("--uid={uid}"), 3, &format!("obuilder: uid {uid} {said}"));
    }
    // A person's account, with the uid that this build would take.
    let (uid, name) = (build.user.uid, format!("alice-{}", build.user.uid));
    let made = Command::new("useradd")
        .args(["-M", "-N", "-K", "UID_MAX=60000", "-c", "Alice Smith", "-u", &uid.to_string(), &name])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let ended = build.run(ONE_STEP);
    let _ = Command::new("userdel").arg(&name).output();
    let said = "which is not obuilder's; choose a free one with --uid";
    refused(
        &ended,
        3,
        &format!("obuilder: uid {uid} is in use by the account '{name}' (Alice Smith), {said}"),
    );
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    fs::write(build.scratch.path().join("a-file"), "x").unwrap();
    let open = build.scratch.dir("open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let read_only = build.scratch.dir("read-only");
    let flags = nix::mount::MsFlags::MS_RDONLY;
    nix::mount::mount(Some("none"), &read_only, Some("tmpfs"), flags, Some("mode=755")).unwrap();
    let cases = [
        ("rsync:DIR/a-file", 3, "cannot make the store DIR/a-file: file exists"),
        ("rsync:DIR/a-file/below", 3, "cannot make the store DIR/a-file/below: not a directory"),
        (
            "rsync:DIR/read-only/store",
            3,
            "cannot make the store DIR/read-only/store: its file system is read-only",
        ),
        (
            "rsync:DIR/open",
            3,
            "the store DIR/open can be written by others (mode 0777); run: chmod go-w DIR/open",
        ),
        (
            "rsync:relative",
            2,
            "bad store address \"rsync:relative\": the path after rsync: must be absolute, that is, begin with '/'",
        ),
        (
            "rsync:",
            2,
            "bad store address \"rsync:\": the path after rsync: must be absolute, that is, begin with '/'",
        ),
        ("", 2, "bad store address \"\": it must be KIND:PLACE, for example rsync:/var/lib/obuilder"),
    ];
    for (store, code, said) in cases {
        let dir = build.scratch.path().display().to_string();
        let ended = build_with(&build, &format!("--store={store}").replace("DIR", &dir));
        refused(&ended, code, &format!("obuilder: {}", said.replace("DIR", &dir)));
    }
    let ended = build_with(&build, "--store=nosuch:/x");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let begins = "obuilder: bad store address \"nosuch:/x\": there is no store of the kind \"nosuch\"; use ";
    assert!(ended.stderr.starts_with(begins), "{}", ended.stderr);
}

#[test]
fn a_source_tree_that_is_missing_or_no_directory_is_named() {
    if !can_build() {
        return;
    }
    let mut build = Build::new();
    build.source = build.scratch.path().join("source-file");
    let path = build.source.display().to_string();
    refused(
        &build.run(ONE_STEP),
        2,
        &format!("obuilder: cannot read the source tree: {path}: No such file or directory"),
    );
    fs::write(&build.source, "x").unwrap();
    refused(&build.run(ONE_STEP), 2, &format!("obuilder: the source tree {path} is not a directory"));
}

#[test]
fn a_scoreboard_that_is_no_safe_directory_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    fs::write(build.scratch.path().join("file"), "x").unwrap();
    refuses(&build, "--scoreboard=DIR/file", 3, "obuilder: scoreboard DIR/file: cannot be made: File exists");
    let open = build.scratch.dir("open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    refuses(
        &build,
        "--scoreboard=DIR/open",
        3,
        "obuilder: scoreboard DIR/open: DIR/open is writable by others (mode 0777), so others could redirect users; run: chmod go-w DIR/open",
    );
    chown(build.scratch.dir("his"), Some(41_799), None).unwrap();
    refuses(
        &build,
        "--scoreboard=DIR/his",
        3,
        "obuilder: scoreboard DIR/his: DIR/his belongs to uid 41799, not to root, so others could redirect users; run: chown root DIR/his",
    );
}

#[test]
fn a_scoreboard_under_the_prefix_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let prefix = build.scratch.dir("prefix");
    let build = build.with(format!("--fuse-path={}", prefix.display()));
    refuses(
        &build,
        "--scoreboard=DIR/prefix/board",
        3,
        "obuilderfs: scoreboard DIR/prefix/board lies under the mount point DIR/prefix, which would hide it; keep it elsewhere\nobuilder: obuilderfs did not start on DIR/prefix: exit status: 3",
    );
}

#[test]
fn a_missing_scoreboard_and_a_missing_prefix_are_made() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let prefix = build.scratch.path().join("new/prefix");
    let spec = build.spec(&spec_of(&[&format!("echo x > {}/file", prefix.display())]));
    let mut command = build.command(&spec);
    command.arg(format!("--fuse-path={}", prefix.display()));
    Ended::from(process::output(&mut command)).done();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&prefix), mode(&build.scoreboard)), (0o755, 0o755));
}

#[test]
fn a_prefix_that_cannot_be_mounted_on_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    fs::write(build.scratch.path().join("file"), "x").unwrap();
    let cases = [
        ("relative", "--fuse-path relative: must be an absolute path, not / and without .."),
        ("/", "--fuse-path /: must be an absolute path, not / and without .."),
        ("/home", "--fuse-path /home: must lie outside the build users' home, and not above it"),
        ("DIR/file", "cannot make the mount point DIR/file: there is something that is not a directory"),
    ];
    for (prefix, said) in cases {
        refuses(&build, &format!("--fuse-path={prefix}"), 3, &format!("obuilder: {said}"));
    }
}

#[test]
fn a_missing_fallback_is_named() {
    if !can_build() {
        return;
    }
    refuses(
        &Build::new(),
        "--fallback=DIR/none",
        3,
        "obuilderfs: fallback DIR/none: No such file or directory\nobuilder: obuilderfs did not start on /usr/local: exit status: 3",
    );
}

#[test]
fn a_prefix_with_a_mount_for_another_scoreboard_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let (prefix, other) = (build.scratch.dir("prefix"), build.scratch.dir("other"));
    let log = build.scratch.path().join("log");
    let mount = Mount::start(&[], &other, &prefix, None, &log);
    let ended = build_with(&build, &format!("--fuse-path={}", prefix.display()));
    drop(mount);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    for text in [&prefix, &other, &build.scoreboard] {
        assert!(ended.stderr.contains(&text.display().to_string()), "{}", ended.stderr);
    }
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn an_ordinary_user_is_told_that_root_is_needed() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let copy = build.scratch.path().join("obuilder");
    fs::copy(binary::obuilder(), &copy).unwrap();
    let spec = build.spec(ONE_STEP);
    let mut command = Command::new(&copy);
    command.arg("macos").arg(&build.source).arg("-f").arg(spec);
    let ended = Ended::from(User::new(41_799).run(|| process::output(&mut command)));
    refused(
        &ended,
        3,
        "obuilder: not run as root, which making users and mounts needs\nhint: run it with sudo",
    );
}

#[test]
fn a_machine_without_fuse_is_told_so_and_builds_without_the_file_system() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let spec = build.spec(&spec_of(&["echo built"]));
    // A namespace in which /dev has no fuse.
    let without_fuse = |command: &Command| {
        let mut wrapped = Command::new("unshare");
        wrapped.args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt && touch /mnt/empty && for d in null zero random urandom tty full; do touch /mnt/$d && mount --bind /dev/$d /mnt/$d; done && mount --rbind /mnt /dev && exec \"$@\"", "sh"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        Ended::from(process::output(&mut wrapped))
    };
    refused(
        &without_fuse(&build.command(&spec)),
        3,
        "obuilderfs: /dev/fuse is missing: load the driver with 'modprobe fuse', or pass the device into the container\nobuilder: obuilderfs did not start on /usr/local: exit status: 3",
    );
    let mut command = build.command(&spec);
    command.arg("--no-fuse");
    let ended = without_fuse(&command).done();
    assert_eq!(ended.said(), ["built"]);
}

#[test]
fn wrong_usage_exits_2_in_one_line_and_a_hint_and_help_exits_0() {
    let run = |args: &[&str]| Ended::from(process::output(Command::new(binary::obuilder()).args(args)));
    let cases: [(&[&str], &str); 5] = [
        (
            &["macos"],
            "the following required arguments were not provided: --file <SPEC> <SRC>\nhint: --help shows what it takes",
        ),
        (&["nosuch"], "unrecognized subcommand 'nosuch'\nhint: --help shows what it takes"),
        (
            &["macos", ".", "--nosuch"],
            "unexpected argument '--nosuch' found\nhint: --help shows what it takes",
        ),
        (&["macos", ".", "--stor=x"], "unexpected argument '--stor' found\nhint: did you mean --store?"),
        (
            &["macos", ".", "-f"],
            "a value is required for '--file <SPEC>' but none was supplied\nhint: --help shows what it takes",
        ),
    ];
    for (args, said) in cases {
        refused(&run(args), 2, &format!("obuilder: {said}"));
    }
    assert_eq!(run(&[]).code, Some(2));
    for args in [&["--help"][..], &["macos", "--help"], &["--version"]] {
        assert!(!run(args).done().stdout.is_empty());
    }
    assert!(run(&["macos", "--help"]).stdout.contains("--fuse-path"));
}
