//! Steps whose home and prefix come through obuilderfs. Needs FUSE.
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command as Process, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use obuilder::sandbox::{Sandbox, Status, View};

use crate::fixture::{Fixture, fixture, wait_until};

fn with_file_system(uid: u32) -> Option<Fixture> {
    let mut f = fixture(uid)?;
    assert!(Path::new("/dev/fuse").exists(), "this test needs /dev/fuse");
    let scoreboard = f.dir.path().join("scoreboard");
    f.configure(View::Obuilderfs { prefix: f.prefix.clone(), scoreboard, fallback: None });
    Some(f)
}

fn mounts_at(point: &Path) -> usize {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.split(' ').nth(4) == point.to_str()).count()
}

#[test]
fn home_and_prefix_are_one_tree_and_the_neighbours_cannot_be_seen() {
    let Some(f) = with_file_system(61_750) else { return };
    let (_, group) = f.sandbox.owner(&obuilder::spec::User::default()).unwrap();
    // As a snapshot made by another build user lies in the store.
    for path in ["", "local", "local/bin", ".obuilder_profile.sh"] {
        chown(f.rootfs.join(path), Some(61_799), Some(group)).unwrap();
    }
    let (home, prefix) = (f.home.display(), f.prefix.display());
    let output = f.sh(&format!(
        "echo hi > {prefix}/bin/x; cat {home}/local/bin/x; stat -c %U {home} {prefix} {prefix}/bin/x; \
         cd {prefix}/bin; /bin/pwd; ls -A {prefix}; test -e {prefix}/.obuilderfs || echo hidden"
    ));
    assert_eq!(output, format!("hi\n{}{prefix}/bin\nbin\nhidden\n", "obuilder61750\n".repeat(3)));
    assert_eq!(fs::metadata(f.rootfs.join("local/bin/x")).unwrap().uid(), 61_799);
    assert_eq!(fs::read_dir(f.dir.path().join("scoreboard")).unwrap().count(), 0);
}

#[test]
fn one_file_system_serves_all_steps_and_ends_with_the_sandbox() {
    let Some(mut f) = with_file_system(61_751) else { return };
    f.sh("echo one > ~/local/file");
    assert_eq!(mounts_at(&f.prefix), 1);
    let prefix = f.prefix.display().to_string();
    assert_eq!(f.sh(&format!("cat {prefix}/file")), "one\n");
    assert_eq!(mounts_at(&f.prefix), 1);
    f.configure(View::Direct { prefix: None });
    assert_eq!(mounts_at(&f.prefix), 0);
    f.assert_nothing_is_left();
}

#[test]
fn secrets_work_below_a_home_that_the_file_system_shows() {
    let Some(f) = with_file_system(61_752) else { return };
    let mut command = f.command("cat ~/.token");
    command.secrets = vec![(f.home.join(".token"), b"secret".to_vec())];
    let (output, status) = f.run(&command);
    assert_eq!((output.as_str(), status.unwrap()), ("secret", Status::Exited(0)));
    assert!(!f.rootfs.join(".token").exists());
}

#[test]
fn a_mount_made_by_hand_is_used_and_stays() {
    let Some(mut f) = with_file_system(61_753) else { return };
    let (board, prefix) = (f.dir.path().join("scoreboard"), f.prefix.clone());
    fs::create_dir(&board).unwrap();
    fs::create_dir(&prefix).unwrap();
    let by_hand = ByHand::mount(&board, &prefix);
    assert_eq!(f.sh(&format!("touch {}/x; ls ~/local", prefix.display())), "bin\nx\n");
    assert_eq!(mounts_at(&prefix), 1);
    let other = f.dir.path().join("other");
    f.configure(View::Obuilderfs { prefix: prefix.clone(), scoreboard: other.clone(), fallback: None });
    assert_eq!(
        f.run(&f.command("true")).1.unwrap_err().to_string(),
        format!(
            "{} already shows the scoreboard {}, not {}; unmount it, or use its scoreboard",
            prefix.display(),
            board.display(),
            other.display()
        )
    );
    assert_eq!(mounts_at(&prefix), 1);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    drop(by_hand);
    assert_eq!(mounts_at(&prefix), 0);
}

#[test]
fn a_dead_mount_is_replaced() {
    let Some(mut f) = with_file_system(61_754) else { return };
    let (board, prefix) = (f.dir.path().join("scoreboard"), f.prefix.clone());
    fs::create_dir(&board).unwrap();
    fs::create_dir(&prefix).unwrap();
    let mut by_hand = ByHand::mount(&board, &prefix);
    by_hand.0.kill().unwrap();
    by_hand.0.wait().unwrap();
    assert!(fs::metadata(&prefix).is_err());
    assert_eq!(f.sh("echo works"), "works\n");
    f.configure(View::Direct { prefix: None });
    assert_eq!(mounts_at(&prefix), 0);
}

#[test]
fn a_step_whose_file_system_died_did_not_succeed_and_the_next_one_gets_another() {
    let Some(f) = with_file_system(61_756) else { return };
    let command = f.command("touch started; while ls ~ >/dev/null 2>&1; do sleep 0.01; done");
    let started = f.rootfs.join("started");
    let (_, status) = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the step starts", || started.exists());
            kill(daemon_at(&f.prefix), Signal::SIGKILL).unwrap();
        });
        f.run(&command)
    });
    let error = status.unwrap_err().to_string();
    let prefix = f.prefix.display();
    assert_eq!(error, format!("obuilderfs on {prefix} ended while the step ran (signal: 9 (SIGKILL))"));
    assert_eq!(f.sh("echo again"), "again\n");
    assert_eq!(mounts_at(&f.prefix), 1);
}

/// The obuilderfs that was started for `prefix`.
fn daemon_at(prefix: &Path) -> Pid {
    let is_it = |entry: &fs::DirEntry| {
        let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = cmdline.split(|byte| *byte == 0);
        words.next() == Some(b"obuilderfs") && words.any(|word| word == prefix.as_os_str().as_bytes())
    };
    let daemon = fs::read_dir("/proc").unwrap().flatten().find(is_it).unwrap();
    Pid::from_raw(daemon.file_name().to_str().unwrap().parse().unwrap())
}

#[test]
fn a_file_system_that_does_not_start_is_named_with_its_prefix() {
    let Some(mut f) = with_file_system(61_755) else { return };
    let scoreboard = f.dir.path().join("scoreboard");
    let fallback = Some(f.dir.path().join("missing"));
    f.configure(View::Obuilderfs { prefix: f.prefix.clone(), scoreboard, fallback });
    let error = f.run(&f.command("true")).1.unwrap_err().to_string();
    assert_eq!(error, format!("obuilderfs did not start on {}: exit status: 3", f.prefix.display()));
    f.assert_nothing_is_left();
}

/// An obuilderfs started by an operator.
struct ByHand(std::process::Child, std::path::PathBuf);

impl ByHand {
    fn mount(board: &Path, prefix: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let daemon = Process::new(env!("CARGO_BIN_EXE_obuilder"))
            .arg0("obuilderfs")
            .arg("-f")
            .args([board, prefix])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let guard = Self(daemon, prefix.to_owned());
        wait_until("it is mounted", || mounts_at(prefix) == 1);
        guard
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg(&self.1).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}
