//! Started, daemonised, stopped, killed, started again.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, umount, umount2};
use nix::sys::signal::Signal;
use obuilder_tests::mount::is_ours;
use obuilder_tests::observe::outcome;
use obuilder_tests::process::{self, LIMIT};
use obuilder_tests::{World, binary, mountinfo};

use crate::can_mount;

#[test]
fn signals_that_ask_it_to_end_unmount_and_exit_with_success() {
    if !can_mount() {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let world = World::new();
        let mount = world.mount();
        let status = mount.stop(signal);
        assert!(status.success(), "{signal}: {status}");
        assert!(mountinfo::at(&world.point).is_none(), "still mounted after {signal}");
    }
}

#[test]
fn umount_ends_it_with_success() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mount = world.mount();
    umount(mount.point()).unwrap();
    let status = mount.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn it_ends_on_sigterm_though_somebody_still_uses_the_mount() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(41_150);
    let mount = world.mount();
    let mut sitter = user.run(|| {
        Command::new("cat")
            .current_dir(mount.point())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    });
    let open = user.run(|| File::create(mount.point().join("open")).unwrap());
    let status = mount.stop(Signal::SIGTERM);
    assert!(status.success(), "{status}");
    assert!(mountinfo::at(&world.point).is_none(), "still mounted");
    drop((sitter.stdin.take(), open));
    sitter.wait().unwrap();
}

#[test]
fn what_was_written_is_there_after_the_end() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_150);
    let mount = world.mount();
    user.run(|| fs::write(mount.point().join("file"), vec![7; 3_000_000]).unwrap());
    mount.stop(Signal::SIGTERM);
    assert_eq!(fs::read(local.join("file")).unwrap(), vec![7; 3_000_000]);
}

/// The processes that serve a mount for `scoreboard`.
fn daemons(scoreboard: &Path) -> Vec<u32> {
    let named = scoreboard.display().to_string();
    let of = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let program = line.split('\0').next()?;
        (program.ends_with("obuilderfs") && line.contains(&named)).then_some(id)
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| of(entry.unwrap())).collect()
}

fn start_as_daemon(world: &World) -> std::process::Output {
    process::output(Command::new(binary::obuilderfs()).args([
        &world.scoreboard,
        &world.point,
        &world.fallback,
    ]))
}

#[test]
fn without_f_it_returns_once_mounted_and_goes_on_in_the_background() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_150);
    let started = start_as_daemon(&world);
    assert!(started.status.success(), "{started:?}");
    assert!(is_ours(&world.point), "mounted when the command returns");
    user.run(|| fs::write(world.point.join("file"), "x").unwrap());
    assert!(local.join("file").exists());
    let ids = daemons(&world.scoreboard);
    assert_eq!(ids.len(), 1, "{ids:?}");
    let cwd = fs::read_link(format!("/proc/{}/cwd", ids[0])).unwrap();
    assert_eq!(cwd, PathBuf::from("/"), "a daemon keeps no directory busy");
    umount(&world.point).unwrap();
    assert!(process::wait_for_end(ids[0], LIMIT), "the daemon goes on without its mount");
}

#[test]
fn a_daemon_that_cannot_mount_says_so_before_the_command_returns() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    fs::remove_dir(&world.point).unwrap();
    let started = start_as_daemon(&world);
    assert!(!started.status.success(), "{started:?}");
    assert!(String::from_utf8_lossy(&started.stderr).contains("mnt"), "{started:?}");
    assert!(daemons(&world.scoreboard).is_empty());
}

#[test]
fn a_killed_one_leaves_a_mount_that_umount_clears() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(41_150);
    let mount = world.mount();
    user.run(|| fs::write(mount.point().join("file"), "x").unwrap());
    mount.stop(Signal::SIGKILL);
    let seen = user.run(|| outcome(fs::read(world.point.join("file"))));
    assert_eq!(seen, "ENOTCONN");
    umount2(&world.point, MntFlags::empty()).unwrap();
    assert!(mountinfo::at(&world.point).is_none());
}

#[test]
fn started_again_over_the_mount_of_a_killed_one_it_serves() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_150);
    fs::write(local.join("file"), "x").unwrap();
    world.mount().stop(Signal::SIGKILL);
    let mount = world.mount();
    let seen = user.run(|| outcome(fs::read_to_string(mount.point().join("file"))));
    assert_eq!(seen, "ok \"x\"");
    mount.stop(Signal::SIGTERM);
    let left = obuilder_tests::mountinfo::below(&world.point);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_second_one_on_the_same_mount_point_is_refused_and_the_first_goes_on() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_150);
    fs::write(local.join("file"), "x").unwrap();
    let mount = world.mount();
    let second =
        process::output(Command::new(binary::obuilderfs()).arg("-f").args([&world.scoreboard, &world.point]));
    assert_eq!(second.status.code(), Some(3));
    let (point, board) = (world.point.display(), world.scoreboard.display());
    let expected = format!(
        "obuilderfs: {point} is an obuilderfs mount already (scoreboard {board}); unmount it first: umount {point}\n"
    );
    assert_eq!(String::from_utf8_lossy(&second.stderr), expected);
    let seen = user.run(|| outcome(fs::read_to_string(mount.point().join("file"))));
    assert_eq!(seen, "ok \"x\"");
}

/// Moments after the start: close together while it mounts, and some after.
fn moments() -> impl Iterator<Item = Duration> {
    (0..60).step_by(2).chain((60..=200).step_by(20)).map(Duration::from_millis)
}

/// Starts it, sends `signal` after `moment`, and waits for its end.
fn started_and_sent(world: &World, moment: Duration, signal: Signal) {
    let mut child = Command::new(binary::obuilderfs())
        .arg("-f")
        .args([&world.scoreboard, &world.point, &world.fallback])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The moment is what is varied here: there is no condition to wait for.
    std::thread::sleep(moment);
    process::stop(&mut child, signal);
}

#[test]
fn a_signal_at_any_moment_of_the_start_leaves_no_mount() {
    if !can_mount() {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        for moment in moments() {
            let world = World::new();
            started_and_sent(&world, moment, signal);
            assert!(mountinfo::at(&world.point).is_none(), "still mounted: {signal} after {moment:?}");
        }
    }
}

#[test]
fn killed_at_any_moment_of_the_start_it_leaves_no_mount_or_a_dead_one_that_the_next_start_clears() {
    if !can_mount() {
        return;
    }
    for moment in moments() {
        let world = World::new();
        let (user, local) = world.resident(41_150);
        fs::write(local.join("file"), "x").unwrap();
        started_and_sent(&world, moment, Signal::SIGKILL);
        // The guard may need a moment more.
        let settled = process::eventually(|| match nix::sys::statvfs::statvfs(&world.point) {
            Ok(_) => mountinfo::at(&world.point).is_none(),
            Err(e) => e == nix::errno::Errno::ENOTCONN,
        });
        assert!(settled, "a half-made mount after {moment:?}");
        let mount = world.mount();
        let seen = user.run(|| outcome(fs::read_to_string(mount.point().join("file"))));
        assert_eq!(seen, "ok \"x\"", "after {moment:?}");
        mount.stop(Signal::SIGTERM);
        assert_eq!(mountinfo::below(&world.point), [], "after {moment:?}");
    }
}

#[test]
fn one_that_is_under_load_ends_all_the_same() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(41_150);
    let mount = world.mount();
    let point = world.point.clone();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (user, point) = (&user, &point);
            scope.spawn(move || {
                user.run(|| {
                    // Until the mount is gone, and the name with it.
                    while fs::write(point.join(format!("w{worker}")), "x").is_ok() {}
                });
            });
        }
        let busy = mountinfo::wait_until(None, Duration::from_millis(300), || false);
        assert!(!busy);
        let status = mount.stop(Signal::SIGTERM);
        assert!(status.success(), "{status}");
    });
    assert!(mountinfo::at(&world.point).is_none());
}
