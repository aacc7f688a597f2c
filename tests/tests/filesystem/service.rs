//! The service files start what they say, and are told when it is ready.
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use obuilder_tests::{World, binary, mountinfo, process};

use crate::can_mount;

const SYSTEMD: &str = include_str!("../../../obuilderfs/service/obuilderfs.service");
const LAUNCHD: &str = include_str!("../../../obuilderfs/service/obuilderfs.plist");

/// The words of the command, with the program, scoreboard and mount point of the test.
fn here(words: Vec<String>, world: &World, programs: &str, board: &str) -> Vec<String> {
    let replaced = |word: String| match &*word {
        word if word == programs => binary::obuilderfs().display().to_string(),
        word if word == board => world.scoreboard.display().to_string(),
        "/usr/local" => world.point.display().to_string(),
        _ => word,
    };
    words.into_iter().map(replaced).collect()
}

fn value(key: &str) -> &'static str {
    SYSTEMD.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap()
}

fn start(words: &[String], socket: Option<&Path>) -> Child {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    if let Some(socket) = socket {
        command.env("NOTIFY_SOCKET", socket);
    }
    command.spawn().unwrap()
}

#[test]
fn systemd_is_told_when_the_mount_is_there_also_after_a_kill() {
    if !can_mount() {
        return;
    }
    assert_eq!(
        (value("Type"), value("Restart"), value("RuntimeDirectory")),
        ("notify", "always", "obuilder")
    );
    let world = World::new();
    let words = value("ExecStart").split(' ').map(str::to_owned).collect();
    let words = here(words, &world, "/usr/bin/obuilderfs", "/run/obuilder");
    let path = world.scratch.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(process::LIMIT)).unwrap();
    for ending in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut child = start(&words, Some(&path));
        let mut said = [0; 64];
        let length = socket.recv(&mut said).unwrap();
        assert_eq!(&said[..length], b"READY=1");
        assert!(nix::sys::statvfs::statvfs(&world.point).is_ok());
        let status = process::stop(&mut child, ending);
        assert_eq!(status.success(), ending == Signal::SIGTERM);
    }
    assert_eq!(mountinfo::below(&world.point), []);
}

#[test]
fn launchds_command_makes_the_scoreboard_and_mounts() {
    if !can_mount() {
        return;
    }
    let mut world = World::new();
    world.scoreboard = world.scratch.path().join("not made yet");
    let array = LAUNCHD.split("<array>").nth(1).and_then(|rest| rest.split("</array>").next()).unwrap();
    let strings = array.split("<string>").skip(1).map(|rest| rest.split("</string>").next().unwrap());
    let words = strings.map(|text| text.replace("&amp;", "&")).collect();
    let words = here(words, &world, "/opt/obuilder/bin/obuilderfs", "/var/run/obuilder");
    let mut child = start(&words, None);
    let mounted = process::eventually(|| {
        obuilder_tests::mount::is_ours(&world.point) && nix::sys::statvfs::statvfs(&world.point).is_ok()
    });
    assert!(process::stop(&mut child, Signal::SIGTERM).success());
    assert!(mounted && world.scoreboard.is_dir());
}
