//! `obuilderfs status` and `obuilderfs enter`, and several mount points in one process with `--map`.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use obuilder_tests::{User, World, binary, mountinfo, process};

use crate::can_mount;

/// Runs `obuilderfs WORDS…` to its end.
fn obuilderfs<S: AsRef<OsStr>>(words: &[S]) -> Output {
    process::output(Command::new(binary::obuilderfs()).args(words))
}

#[track_caller]
fn printed(out: Output) -> String {
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[track_caller]
fn refused(out: &Output, code: i32, said: &str) {
    assert_eq!((out.status.code(), &*String::from_utf8_lossy(&out.stderr)), (Some(code), said));
    assert_eq!(out.stdout, b"");
}

fn status(point: &Path) -> String {
    printed(obuilderfs(&[OsStr::new("status"), point.as_ref()]))
}

fn enter(point: &Path, uid: u32, script: &str) -> Output {
    let mut command = Command::new(binary::obuilderfs());
    command.arg("enter").arg(point).arg(format!("--uid={uid}")).args(["--", "sh", "-c", script, "sh"]);
    process::output(command.arg(point).current_dir("/"))
}

#[test]
fn status_tells_people_what_a_mount_is_doing() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_600);
    let mount = world.mount();
    let file = mount.point().join("file");
    user.run(|| fs::write(&file, "x")).unwrap();
    let said = status(mount.point());
    let field = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{said}")).trim().to_owned()
    };
    assert_eq!(field("pid"), mount.id().to_string());
    assert_eq!(field("scoreboard"), world.scoreboard.to_str().unwrap());
    let home = local.parent().unwrap().display().to_string();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = said.lines().map(words).collect();
    assert!(lines.contains(&vec!["41600".into(), "shared".into(), "local".into(), home]), "{said}");
    assert!(lines.iter().any(|line| line.first().is_some_and(|word| word == "create")), "{said}");
}

#[test]
fn status_tells_programs_the_same_in_one_object() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mount = world.mount();
    let said = printed(obuilderfs(&[OsStr::new("status"), "--json".as_ref(), mount.point().as_ref()]));
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in [
        format!("\"pid\":{},", mount.id()),
        format!("\"scoreboard\":\"{}\",", world.scoreboard.display()),
        "\"views\":[{".to_owned(),
        "\"requests\":[".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} is not in {said}");
    }
    assert!(said.starts_with('{') && said.ends_with("}\n"), "{said}");
}

#[test]
fn status_has_room_for_the_latest_of_any_number_of_views() {
    const USERS: u32 = 300;
    if !can_mount() {
        return;
    }
    let world = World::new();
    let home = world.home(&format!("long-{}/home", "x".repeat(240)), &User::new(41_610));
    let mount = world.mount();
    for uid in 41_610..41_610 + USERS {
        world.publish(uid, &home);
        User::new(uid).run(|| fs::metadata(mount.point().join("none")).unwrap_err());
    }
    let said = status(mount.point());
    assert!(said.contains(&format!("\n{:>10}  shared", 41_609 + USERS)), "{said}");
    let shown = said.lines().filter(|line| line.contains("  shared   ")).count();
    // The fallback is one, and older.
    let older = USERS as usize + 1 - shown;
    assert!(older > 0 && said.contains(&format!("\nand {older} older ones\n")), "{shown} of\n{said}");
}

#[test]
fn status_and_enter_say_when_nothing_is_mounted() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let said = format!("obuilderfs: {}: no obuilderfs is mounted there\n", world.point.display());
    refused(&obuilderfs(&[OsStr::new("status"), world.point.as_ref()]), 3, &said);
    refused(&enter(&world.point, 41_601, "true"), 3, &said);
}

#[test]
fn status_and_enter_are_roots_alone() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(41_602);
    let mount = world.mount();
    let copy = world.scratch.path().join("obuilderfs");
    fs::copy(binary::obuilderfs(), &copy).unwrap();
    let run = |words: &[&OsStr]| user.run(|| process::output(Command::new(&copy).args(words)));
    let point: &OsStr = mount.point().as_ref();
    let said = "obuilderfs: only root may see what a mount is doing; use sudo\n";
    refused(&run(&["status".as_ref(), point]), 3, said);
    let said = "obuilderfs: only root may enter another user's view; use sudo\n";
    refused(
        &run(&["enter".as_ref(), point, "--uid=41602".as_ref(), "--".as_ref(), "true".as_ref()]),
        3,
        said,
    );
}

#[test]
fn help_names_the_whole_command() {
    for command in ["status", "enter"] {
        let said = printed(obuilderfs(&[command, "--help"]));
        assert!(said.contains(&format!("\nUsage: obuilderfs {command} [OPTIONS] <MOUNTPOINT>")), "{said}");
    }
    let said = printed(obuilderfs(&["--help"]));
    assert!(
        said.contains("obuilderfs status MOUNTPOINT") && said.contains("obuilderfs enter MOUNTPOINT"),
        "{said}"
    );
}

#[test]
fn enter_runs_the_command_as_the_user_and_gives_its_exit_code() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.resident(41_603);
    let mount = world.mount();
    let out = enter(mount.point(), 41_603, "id -u; id -g; exit 7");
    assert_eq!((out.status.code(), &*out.stdout), (Some(7), &b"41603\n41603\n"[..]), "{out:?}");
    assert_eq!(enter(mount.point(), 41_603, "kill -TERM $$").status.code(), Some(128 + 15));
    let out =
        obuilderfs(&["enter", mount.point().to_str().unwrap(), "--uid=41603", "--", "/no/such/program"]);
    refused(&out, 3, "obuilderfs: /no/such/program: No such file or directory (os error 2)\n");
}

#[test]
fn enter_needs_a_link_a_user_and_a_command() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mount = world.mount();
    let board = world.scoreboard.display();
    let said = format!(
        "obuilderfs: uid 41604 has no link on the scoreboard {board}; make one: ln -sfn HOME {board}/41604\n"
    );
    refused(&enter(mount.point(), 41_604, "true"), 3, &said);
    let point = mount.point().to_str().unwrap();
    let mut nobody = Command::new(binary::obuilderfs());
    nobody.args(["enter", point, "--", "true"]).env_remove("SUDO_UID");
    refused(&process::output(&mut nobody), 2, "obuilderfs: as whom? give --uid=N, or run it with sudo\n");
    let out = obuilderfs(&["enter", point, "--uid=41604"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    // Who called sudo is who is meant.
    world.resident(41_605);
    let mut sudo = Command::new(binary::obuilderfs());
    sudo.args(["enter", point, "--", "id", "-u"]).env("SUDO_UID", "41605");
    assert_eq!(printed(process::output(&mut sudo)), "41605\n");
}

#[test]
fn inside_home_and_prefix_are_the_same_directories_and_outside_nothing_is_seen_of_it() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (_, local) = world.resident(41_606);
    let mount = world.mount();
    let home = local.parent().unwrap().display();
    let before = mountinfo::below(world.scratch.path()).len();
    let script = format!(
        "set -e; mkdir \"$1/bin\"; echo x > {home}/local/bin/file; cd \"$1/bin\"; pwd; cat file; \
         stat -c %d:%i \"$1\" {home}/local | uniq | wc -l; grep -c \" {home} \" /proc/self/mountinfo"
    );
    let out = enter(mount.point(), 41_606, &script);
    assert_eq!(printed(out), format!("{}/bin\nx\n1\n1\n", mount.point().display()));
    assert_eq!(mountinfo::below(world.scratch.path()).len(), before);
    assert_eq!(fs::metadata(local.join("bin/file")).unwrap().uid(), 41_606);
}

#[test]
fn the_view_is_there_while_the_command_runs_and_gone_afterwards() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.resident(41_607);
    let mount = world.mount();
    let private = || status(mount.point()).lines().filter(|line| line.contains(" private ")).count();
    let pipe = world.scratch.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = Command::new(binary::obuilderfs());
    command.arg("enter").arg(mount.point()).args(["--uid=41607", "--", "cat"]).arg(&pipe).current_dir("/");
    let mut child = command.spawn().unwrap();
    // Opens when the command reads.
    let writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    assert_eq!(private(), 1, "{}", status(mount.point()));
    drop(writer);
    assert!(process::wait_for_end(child.id(), process::LIMIT) && child.wait().unwrap().success());
    assert!(process::eventually(|| private() == 0), "{}", status(mount.point()));
}

#[test]
fn a_signal_to_enter_is_passed_on() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (_, local) = world.resident(41_608);
    let mount = world.mount();
    let mut command = Command::new(binary::obuilderfs());
    let script = "trap 'exit 9' TERM; touch $0/ready; while :; do sleep 0.05; done";
    command
        .arg("enter")
        .arg(mount.point())
        .args(["--uid=41608", "--", "sh", "-c", script])
        .arg(mount.point());
    let mut child = command.current_dir("/").spawn().unwrap();
    assert!(process::eventually(|| local.join("ready").exists()), "the command does not start");
    assert_eq!(process::stop(&mut child, Signal::SIGTERM).code(), Some(9));
}

/// A world with a second mount point.
fn mapped(world: &World, map: &str) -> (PathBuf, String) {
    let second = world.scratch.dir("second");
    let map = format!("--map={}={map}", second.display());
    (second, map)
}

#[test]
fn one_process_serves_several_mount_points_and_takes_them_down_together() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (first, local) = world.resident(41_609);
    let (other, _) = world.resident(41_610);
    let home = local.parent().unwrap();
    let (second, map) = mapped(&world, ".");
    fs::write(second.join("covered"), "").unwrap();
    let mount = world.mount_with(&[&map]);
    let seen = second.join("local/file");
    first.run(|| fs::write(mount.point().join("file"), "one")).unwrap();
    assert_eq!(first.run(|| fs::read_to_string(&seen)).unwrap(), "one");
    first.run(|| fs::write(second.join("at-home"), "")).unwrap();
    assert!(home.join("at-home").exists());
    assert_eq!(other.run(|| fs::read_to_string(&seen)).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    // A third one sees what the second mount point covers.
    assert!(User::new(41_611).run(|| second.join("covered").exists()));
    let pids: Vec<String> = [mount.point(), &second]
        .iter()
        .map(|point| status(point).lines().find(|line| line.starts_with("pid ")).unwrap().to_owned())
        .collect();
    assert_eq!(pids[0], pids[1]);
    assert!(mount.stop(Signal::SIGTERM).success());
    assert_eq!(mountinfo::below(world.scratch.path()), []);
}

#[test]
fn mount_points_that_would_hide_one_another_are_refused() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let place = world.scratch.path().display();
    let above = world.scratch.dir("above");
    let below = world.scratch.dir("above/below");
    for (main, map) in [(&above, &below), (&below, &above)] {
        let map = format!("--map={}=.", map.display());
        let out = obuilderfs(&["-f", &map, world.scoreboard.to_str().unwrap(), main.to_str().unwrap()]);
        let said = format!(
            "obuilderfs: mount point {place}/above/below lies under the mount point {place}/above; choose places side by side\n"
        );
        refused(&out, 3, &said);
    }
    assert_eq!(mountinfo::below(world.scratch.path()), []);
}

#[test]
fn what_a_map_is_to_show_must_be_one_name_in_the_home() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    for (map, why) in [
        ("a/b", "'a/b' is not a name in the home; give one, or . for the home itself"),
        ("..", "'..' is not a name in the home; give one, or . for the home itself"),
        ("", "'' is not a name in the home; give one, or . for the home itself"),
    ] {
        let (second, map) = mapped(&world, map);
        let out =
            obuilderfs(&["-f", &map, world.scoreboard.to_str().unwrap(), world.point.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(mountinfo::below(&second).is_empty());
    }
    let out = obuilderfs(&["-f", "--map=/no-equals-sign", "/board", "/point"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("expected MOUNTPOINT=SUBDIRECTORY, such as /home/build=."), "{said}");
}
