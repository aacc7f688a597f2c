//! What a step finds: its prefix, its home, its user, its variables.
use std::fs;
use std::path::Path;

use obuilder_tests::Build;
use obuilder_tests::build::names;

use crate::can_build;

#[test]
fn a_steps_prefix_is_its_own_and_the_machines_is_not_touched() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let before = names(Path::new("/usr/local"));
    let ended = build
        .steps(&[
            "ls -A /usr/local; mkdir -p /usr/local/bin; echo '#!/bin/sh' > /usr/local/bin/mine; chmod +x /usr/local/bin/mine",
            "ls -A /usr/local/bin; command -v mine; test ~/local/bin/mine -ef /usr/local/bin/mine && echo same",
        ])
        .done();
    assert_eq!(ended.said(), ["mine", "/usr/local/bin/mine", "same"]);
    assert_eq!(names(Path::new("/usr/local")), before);
    assert!(build.result(ended.id()).join("rootfs/local/bin/mine").exists());
}

#[test]
fn another_prefix_can_be_named() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let prefix = build.scratch.dir("opt/prefix");
    let build = build.with(format!("--fuse-path={}", prefix.display()));
    let ended = build.steps(&[&format!("echo x > {}/file; cat ~/local/file", prefix.display())]).done();
    assert_eq!(ended.said(), ["x"]);
    assert!(names(&prefix).is_empty());
}

#[test]
fn without_the_file_system_a_step_has_its_home_and_the_machines_prefix() {
    if !can_build() {
        return;
    }
    let build = Build::new().with("--no-fuse");
    let ended =
        build.steps(&["echo x > local/file; pwd; test -w /usr/local && echo writable; ls local"]).done();
    assert_eq!(ended.said(), ["/home/obuilder", "file"]);
}

#[test]
fn a_step_is_its_user_in_its_home_with_a_clean_environment() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let script = "id -un; id -u; pwd; echo $HOME $USER $LOGNAME; umask; echo ${SECRET_OF_ROOT-clean}; test -w $TMPDIR && echo writable; tty; readlink /proc/self/fd/0 | cut -d: -f1";
    let spec = build.spec(&obuilder_tests::build::spec_of(&[script]));
    let mut command = build.command(&spec);
    let ended = obuilder_tests::build::Ended::from(obuilder_tests::process::output(
        command.env("SECRET_OF_ROOT", "x"),
    ))
    .done();
    let said = ended.said();
    let (home, name) = (said[2], build.user.name());
    assert_eq!(said[..2], [name.clone(), build.user.uid.to_string()]);
    assert_eq!(said[3], format!("{home} {name} {name}"));
    assert_eq!(said[4..8], ["0022", "clean", "writable", "not a tty"]);
}

#[test]
fn variables_working_directories_and_shells_hold_from_where_they_stand() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let ended = build
        .run(
            "((from empty)
              (env FIRST one) (env FIRST two) (env QUOTED \"a \\\"b\\\" $HOME\")
              (run (shell \"echo $FIRST; echo \\\"$QUOTED\\\"\"))
              (workdir sub) (workdir deeper)
              (run (shell \"pwd | sed s,$HOME,HOME,; echo $0\"))
              (shell /bin/sh -c)
              (run (shell \"echo ${BASH_VERSION-plain} $0\")))",
        )
        .done();
    let said: Vec<&str> =
        ended.stdout.lines().filter(|line| !line.starts_with('/') && !line.starts_with("--->")).collect();
    assert_eq!(said[1..3], ["two", "a \"b\" $HOME"]);
    assert_eq!(said[3], "HOME/sub/deeper");
}

#[test]
fn the_profile_of_the_base_image_is_sourced_before_each_command() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let images = build.scratch.dir("images");
    let image = build.scratch.dir("images/tools");
    fs::write(image.join(".obuilder_profile.sh"), "export FROM_PROFILE=yes\n").unwrap();
    fs::create_dir_all(image.join("local/bin")).unwrap();
    fs::write(image.join("local/bin/tool"), "#!/bin/sh\necho tool ran\n").unwrap();
    fs::set_permissions(image.join("local/bin/tool"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let build = build.with(format!("--base-images={}", images.display()));
    let ended = build
        .run("((from tools) (run (shell \"echo $FROM_PROFILE; tool\")) (run (shell \"echo $FROM_PROFILE\")))")
        .done();
    assert_eq!(ended.said(), ["yes", "tool ran", "yes"]);
    assert_eq!(names(&image), [".obuilder_profile.sh", "local"], "the image itself stays as it was");
}

#[test]
fn a_secret_is_for_its_step_alone_and_leaves_no_trace() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let file = build.scratch.path().join("secret");
    fs::write(&file, "hunter2").unwrap();
    let build = build.with("--secret").with(format!("token:{}", file.display()));
    let ended = build
        .run("((from empty) (run (secrets (token (target /run/secrets/token))) (shell \"stat -c '%a %U' /run/secrets/token; cat /run/secrets/token; echo\")) (run (shell \"ls -A /run/secrets 2>&1 | head -1; find . | sort\")))")
        .done();
    assert_eq!(ended.said()[..2], [format!("400 {}", build.user.name()).as_str(), "hunter2"]);
    let found = std::process::Command::new("grep")
        .args(["-rl", "hunter2"])
        .arg(build.store.join("result"))
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    // The step printed it itself: it may stand in the logs and nowhere else.
    assert!(found.lines().all(|path| path.ends_with("/log")), "{found}");
    assert!(!ended.stdout.contains("./run"), "{}", ended.stdout);
}

#[test]
fn both_outputs_come_in_the_order_they_were_written() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let ended = build
        .steps(&["for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; printf 'no newline'"])
        .done();
    let words: Vec<String> = (1..=5).flat_map(|i| [format!("out {i}"), format!("err {i}")]).collect();
    assert_eq!(ended.said()[..10], words.iter().map(String::as_str).collect::<Vec<_>>()[..]);
    assert!(ended.stdout.contains("no newline---> saved as"), "{}", ended.stdout);
}

#[test]
fn a_cache_volume_is_kept_from_step_to_step_and_from_user_to_user() {
    if !can_build() {
        return;
    }
    let mut build = Build::new();
    let step = |command: &str| {
        format!(
            "(run (cache (brew/c (target /home/obuilder/.cache/brew)) (tools (target /usr/local/var))) (shell \"{command}\"))"
        )
    };
    let ended = build
        .run(&format!(
            "((from empty) {} {} (run (shell \"ls -A ~/.cache/brew /usr/local/var\")))",
            step("echo one > ~/.cache/brew/f; echo two > ~/local/var/g"),
            step(
                "cat ~/.cache/brew/f ~/local/var/g; stat -c %U ~/.cache/brew/f; echo three > ~/.cache/brew/f"
            ),
        ))
        .done();
    let home = build.result(ended.id()).join("rootfs");
    assert_eq!(ended.said()[..3], ["one", "two", &build.user.name()]);
    assert!(names(&home.join(".cache/brew")).is_empty() && names(&home.join("local/var")).is_empty());
    build.user = Build::new().user;
    let ended = build
        .run(&format!(
            "((from empty) {})",
            step("cat ~/.cache/brew/f; echo four > ~/.cache/brew/f; echo mine")
        ))
        .done();
    assert_eq!(ended.said(), ["three", "mine"]);
    assert_eq!(build.left_behind(), Vec::<String>::new());
}
