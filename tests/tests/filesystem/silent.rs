//! A daemon that is there and does not answer keeps nobody waiting who starts, asks for or enters a mount.
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use obuilder_tests::process::{self, send};
use obuilder_tests::{World, binary};

use crate::can_mount;

fn run(words: &[&Path]) -> Output {
    process::output(Command::new(binary::obuilderfs()).args(words))
}

/// A stopped child of ours. It goes on, however the test ends.
struct Stopped(u32);

impl Stopped {
    /// Stops every thread of process `id`.
    fn all_of(id: u32) -> Self {
        send(id, Signal::SIGSTOP).unwrap();
        let stopped = Self(id);
        let child = Pid::from_raw(id.try_into().unwrap());
        let status = waitpid(child, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(status, WaitStatus::Stopped(child, Signal::SIGSTOP));
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = send(self.0, Signal::SIGCONT);
    }
}

#[test]
fn a_stopped_daemon_is_named_and_what_to_do_about_it() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.resident(41_151);
    let mount = world.mount();
    let (board, point) = (world.scoreboard.as_path(), world.point.as_path());
    let stopped = Stopped::all_of(mount.id());
    let commands: [&[&Path]; 3] = [
        &[Path::new("-f"), board, point],
        &[Path::new("status"), point],
        &[Path::new("enter"), point, Path::new("--uid=41151"), Path::new("--"), Path::new("true")],
    ];
    let said = std::thread::scope(|scope| {
        let running = commands.map(|words| scope.spawn(move || run(words)));
        running.map(|command| command.join().unwrap())
    });
    let expected = format!(
        "obuilderfs: the obuilderfs on {0} does not answer; if its process was stopped, let it go on with \
         kill -CONT, or else give up on it: umount -f {0}\n",
        point.display()
    );
    for output in said {
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr)),
            (Some(3), expected.as_str().into())
        );
    }
    drop(stopped);
    let output = run(&[Path::new("status"), point]);
    assert!(output.status.success(), "it goes on as if nothing had been: {output:?}");
}
