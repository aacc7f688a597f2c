//! How steps end, and that nothing outlives them.
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use obuilder::host::{Host, SystemHost, enter_private_mount_namespace};
use obuilder::sandbox::{Cancel, Sandbox, SandboxError, Status, View};

use crate::fixture::{Fixture, account_of, block_on, fixture, wait_until};

fn is_running(uid: u32, name: &str) -> bool {
    SystemHost::default().processes_of(uid).unwrap().iter().any(|process| process.name == name)
}

#[test]
fn a_step_ends_as_its_command_does() {
    let Some(f) = fixture(61_720) else { return };
    let ended = |script: &str| f.run(&f.command(script)).1.unwrap();
    assert_eq!(ended("exit 3"), Status::Exited(3));
    assert_eq!(ended("kill -9 $$"), Status::Signalled(9));
    assert_eq!(ended("kill -TERM $$").to_string(), "signal SIGTERM");
    assert_eq!(ended("no-such-command 2>/dev/null").to_string(), "exit status 127");
    assert_eq!(ended("kill -PIPE $$"), Status::Signalled(13));
}

#[test]
fn daemons_are_gone_when_the_step_has_ended() {
    let Some(f) = fixture(61_721) else { return };
    f.sh("setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM HUP; sleep 1001; sleep 1002' &); \
          nohup sleep 1003 >/dev/null 2>&1 & true");
    f.assert_nothing_is_left();
}

#[test]
fn a_fork_bomb_ends_with_its_step() {
    let Some(f) = fixture(61_722) else { return };
    f.sh("bomb() { for i in 1 2 3 4 5 6 7 8 9; do (while :; do sh -c : & wait; done) & done; }; bomb; sleep 0.1");
    f.assert_nothing_is_left();
}

#[test]
fn processes_of_the_user_from_before_or_beside_the_step_are_killed() {
    let Some(f) = fixture(61_723) else { return };
    let mut stray = Process::new("sleep").arg("1000").uid(f.uid).spawn().unwrap();
    f.sh("true");
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(stray.wait().unwrap().signal(), Some(9));
}

#[test]
fn killing_one_users_processes_touches_nobody_elses() {
    let Some(f) = fixture(61_724) else { return };
    let mut neighbour = Process::new("sleep").arg("1000").uid(f.uid + 75).spawn().unwrap();
    let mut own = Process::new("sleep").arg("1000").uid(f.uid).spawn().unwrap();
    let killed = SystemHost::default().kill_all(f.uid).unwrap();
    assert_eq!(killed.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["sleep"]);
    own.wait().unwrap();
    assert_eq!(neighbour.try_wait().unwrap(), None);
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
}

#[test]
fn a_cancelled_step_is_gone_at_once() {
    let Some(f) = fixture(61_725) else { return };
    let cancel = Cancel::default();
    let command = f.command("trap '' TERM INT HUP; setsid sleep 1000 & sleep 1001");
    let step = f.start(&command, &cancel);
    let (_, status) = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the step starts", || is_running(f.uid, "sleep"));
            cancel.cancel();
        });
        block_on(step)
    });
    assert!(matches!(status, Err(SandboxError::Cancelled)), "{status:?}");
    f.assert_nothing_is_left();
}

#[test]
fn a_step_whose_supervisor_is_killed_is_gone_too() {
    let Some(f) = fixture(61_733) else { return };
    let command = f.command("setsid sleep 1000 & sleep 1001");
    let (_, status) = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the step starts", || is_running(f.uid, "sleep"));
            kill(supervisor_of(f.uid), Signal::SIGKILL).unwrap();
        });
        f.run(&command)
    });
    let error = status.unwrap_err().to_string();
    assert_eq!(error, "the process that ran the step ended without reporting how (signal: 9 (SIGKILL))");
    f.assert_nothing_is_left();
}

/// The parent of the init of the namespace in which `uid`'s processes are.
fn supervisor_of(uid: u32) -> Pid {
    let parent = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse::<i32>().unwrap()
    };
    let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let mut pid = SystemHost::default().processes_of(uid).unwrap()[0].pid;
    while !name(pid).starts_with("obuilder-step") {
        pid = parent(pid);
    }
    Pid::from_raw(parent(pid))
}

#[test]
fn a_step_cancelled_before_it_starts_does_not_start() {
    let Some(f) = fixture(61_726) else { return };
    let cancel = Cancel::default();
    cancel.cancel();
    let (_, status) = block_on(f.start(&f.command("touch ran"), &cancel));
    assert!(matches!(status, Err(SandboxError::Cancelled)));
    assert!(!f.rootfs.join("ran").exists());
}

#[test]
fn a_dropped_step_is_gone_when_drop_returns() {
    let Some(f) = fixture(61_727) else { return };
    let (command, cancel) = (f.command("sleep 1000"), Cancel::default());
    let (_output, input) = std::io::pipe().unwrap();
    block_on(async {
        let step = f.sandbox.run(&command, input.into(), &cancel);
        let running = async {
            while !is_running(f.uid, "sleep") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = step => panic!("ended: {ended:?}"),
            () = running => {}
        }
    });
    f.assert_nothing_is_left();
}

#[test]
fn steps_of_one_uid_wait_for_each_other() {
    let Some(f) = fixture(61_728) else { return };
    let command = f.command("set -C; : > running || exit 1; sleep 0.1; rm running");
    let cancel = Cancel::default();
    let both = async { tokio::join!(f.start_quietly(&command, &cancel), f.start_quietly(&command, &cancel)) };
    let (one, other) = block_on(both);
    assert_eq!((one.unwrap(), other.unwrap()), (Status::Exited(0), Status::Exited(0)));
}

impl Fixture {
    async fn start_quietly(
        &self,
        command: &obuilder::sandbox::Command,
        cancel: &Cancel,
    ) -> Result<Status, SandboxError> {
        let output = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        self.sandbox.run(command, output.into(), cancel).await
    }
}

/// Not a test of its own: the builder that [`a_killed_builder_leaves_no_process_and_no_mount`] kills.
#[test]
fn builder_to_be_killed() {
    let Some(uid) = std::env::var("TEST_BUILDER_UID").ok().and_then(|uid| uid.parse().ok()) else { return };
    enter_private_mount_namespace().unwrap();
    let mut f = fixture(uid).unwrap();
    let scoreboard = f.dir.path().join("scoreboard");
    f.configure(View::Obuilderfs { prefix: f.prefix.clone(), scoreboard, fallback: None });
    println!("dir {}", f.dir.path().display());
    let _ = f.run(&f.command("setsid sleep 1000 & sleep 1001"));
}

#[test]
fn a_killed_builder_leaves_no_process_and_no_mount() {
    let uid = 61_729;
    let Some(_account) = account_of(uid) else { return };
    let mut builder = Process::new(std::env::current_exe().unwrap())
        .args(["ending::builder_to_be_killed", "--exact", "--nocapture"])
        .env("TEST_BUILDER_UID", uid.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(builder.stdout.take().unwrap()).lines();
    let dir = lines.find_map(|line| line.unwrap().strip_prefix("dir ").map(str::to_owned)).unwrap();
    wait_until("the step starts", || is_running(uid, "sleep"));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&dir), "seen outside the builder's namespace: {mounts}");
    builder.kill().unwrap();
    builder.wait().unwrap();
    wait_until("the step is gone", || !is_running(uid, "sleep"));
    wait_until("supervisor, file system and all their mounts are gone", || !anybody_sees_mounts_of(&dir));
    assert_eq!(SystemHost::default().processes_of(uid).unwrap(), []);
    fs::remove_dir_all(dir).unwrap();
}

/// Whether any process has a mount below `dir` in its namespace.
fn anybody_sees_mounts_of(dir: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read_to_string(entry.path().join("mountinfo")).ok())
        .any(|m| m.contains(dir))
}

#[test]
fn on_a_machine_whose_mounts_are_shared_the_builders_stay_its_own_and_the_machines_come_in() {
    let Some(_root) = account_of(61_734) else { return };
    let dir = tempfile::tempdir().unwrap();
    let point = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (of_builder, of_machine) = (point("builder"), point("machine"));
    let tmpfs = |at: &Path| mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let seen =
        |at: &Path| fs::read_to_string("/proc/thread-self/mountinfo").unwrap().contains(at.to_str().unwrap());
    // As systemd sets a machine up.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SHARED, None::<&str>).unwrap();
    let turn = Barrier::new(2);
    let (in_builder, in_machine) = std::thread::scope(|scope| {
        let builder = scope.spawn(|| {
            enter_private_mount_namespace().unwrap();
            tmpfs(&of_builder);
            turn.wait();
            turn.wait();
            (seen(&of_builder), seen(&of_machine))
        });
        turn.wait();
        tmpfs(&of_machine);
        turn.wait();
        (builder.join().unwrap(), (seen(&of_builder), seen(&of_machine)))
    });
    umount(&of_machine).unwrap();
    assert_eq!((in_builder, in_machine), ((true, true), (false, true)));
}

#[test]
fn the_builders_mounts_are_its_own_and_its_unmounts_reach_its_steps() {
    let Some(f) = fixture(61_730) else { return };
    enter_private_mount_namespace().unwrap();
    let disk = f.dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let disk = disk.to_str().unwrap();
    let mounts_of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(mounts_of("thread-self").contains(disk));
    assert!(!mounts_of("self").contains(disk), "seen by the machine");

    let (command, cancel) = (f.command("sleep 1000"), Cancel::default());
    let unmounted_under_the_step = async {
        let sleep = loop {
            let processes = SystemHost::default().processes_of(f.uid).unwrap();
            match processes.iter().find(|process| process.name == "sleep") {
                Some(process) => break process.pid.to_string(),
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let before = mounts_of(&sleep).contains(disk);
        umount(disk).unwrap();
        let after = mounts_of(&sleep).contains(disk);
        cancel.cancel();
        (before, after)
    };
    let (_, seen) =
        block_on(async { tokio::join!(f.start_quietly(&command, &cancel), unmounted_under_the_step) });
    assert_eq!(seen, (true, false));
}
