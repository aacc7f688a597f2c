//! Ended or killed in the midst of everything: nobody waits for answers that will not come.
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::mount::MsFlags;
use nix::sys::signal::Signal;
use obuilder_tests::process::{LIMIT, send, wait_for_end};
use obuilder_tests::{User, World};

use crate::can_mount;

/// Works in the root, where names are asked for each time, until told to stop.
fn work(point: &Path, done: &AtomicBool) {
    for round in 0.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let name = point.join(["a", "b", "c"][round % 3]);
        let _ = fs::create_dir(&name);
        let _ = fs::write(name.join("x"), "x");
        let _ = fs::remove_dir_all(&name);
    }
}

/// Swaps the link of `uid` all the time: of each the kernel is told.
fn swap_links(world: &World, uid: u32, done: &AtomicBool) {
    let home = world.scratch.path().join("homes").join(uid.to_string());
    while !done.load(Ordering::Relaxed) {
        world.publish(uid, &home);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The daemon gets `signal` while users work and links move. It ends, and so does every call.
fn ends_at_once(signal: Signal) {
    if !can_mount() {
        return;
    }
    for round in 0..6 {
        let world = World::new();
        let users: Vec<User> = (44_081..44_085).map(|uid| world.resident(uid).0).collect();
        let mount = world.mount();
        let (point, id, connection) = (world.point.clone(), mount.id(), connection(&world.point));
        let (moving, working) = (AtomicBool::new(false), AtomicBool::new(false));
        let stuck = std::thread::scope(|scope| {
            scope.spawn(|| swap_links(&world, 44_081, &moving));
            let workers: Vec<_> = users
                .iter()
                .chain(&users)
                .map(|user| scope.spawn(|| user.run(|| work(&point, &working))))
                .collect();
            std::thread::sleep(Duration::from_millis(100 + 7 * round));
            send(id, signal).unwrap();
            let ended = wait_for_end(id, LIMIT / 3);
            moving.store(true, Ordering::Relaxed);
            working.store(true, Ordering::Relaxed);
            let deadline = Instant::now() + LIMIT / 3;
            let waiting = || workers.iter().filter(|worker| !worker.is_finished()).count();
            while waiting() > 0 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let stuck = (!ended, waiting());
            if stuck != (false, 0) {
                release(&world, &connection);
            }
            stuck
        });
        assert_eq!(stuck, (false, 0), "round {round}: whether the daemon is stuck, and how many users");
    }
}

/// The number of the connection that serves `point`: the minor number of its device.
fn connection(point: &Path) -> String {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == point.to_str()).unwrap();
    line.split(' ').nth(2).and_then(|device| device.split_once(':')).unwrap().1.to_owned()
}

/// Gives everybody who waits for that connection an error, so that this test can end: fusectl, in the kernel's
/// `Documentation/filesystems/fuse.rst`.
fn release(world: &World, connection: &str) {
    let at = world.scratch.dir("connections");
    let none = None::<&str>;
    nix::mount::mount(Some("none"), &at, Some("fusectl"), MsFlags::empty(), none).unwrap();
    let _ = fs::write(at.join(connection).join("abort"), "1");
}

#[test]
fn sigterm_in_the_midst_of_everything_leaves_nobody_waiting() {
    ends_at_once(Signal::SIGTERM);
}

#[test]

fn sigkill_in_the_midst_of_everything_leaves_nobody_waiting() {
    ends_at_once(Signal::SIGKILL);
}

/// The guard of the daemon `id`: its only child.
fn guard(id: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let guard = children.trim().parse().unwrap_or_else(|_| panic!("one child, not {children:?}"));
    assert_eq!(fs::read_to_string(format!("/proc/{guard}/comm")).unwrap(), "obfs-guard\n");
    guard
}

#[test]
fn the_guard_goes_with_the_daemon_however_that_ends() {
    if !can_mount() {
        return;
    }
    for ending in [Some(Signal::SIGTERM), Some(Signal::SIGKILL), None] {
        let world = World::new();
        let mount = world.mount();
        let guard = guard(mount.id());
        match ending {
            Some(signal) => drop(mount.stop(signal)),
            None => {
                nix::mount::umount(mount.point()).unwrap();
                mount.wait();
            }
        }
        assert!(wait_for_end(guard, LIMIT), "the guard is still there after {ending:?}");
    }
}

#[test]
fn the_guard_hears_nobody_but_the_kernel_and_keeps_nothing_busy() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mount = world.mount();
    let guard = guard(mount.id());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1] {
        send(guard, signal).unwrap();
    }
    assert!(!wait_for_end(guard, Duration::from_millis(200)), "it has ended");
    assert!(nix::sys::statvfs::statvfs(&world.point).is_ok(), "the mount has ended");
    let open = fs::read_dir(format!("/proc/{guard}/fd")).unwrap().map(|fd| fd.unwrap().path());
    let open: Vec<_> = open.map(|fd| fs::read_link(fd).unwrap()).collect();
    assert!(open.len() == 1 && open[0].ends_with("abort"), "{open:?}");
    assert_eq!(fs::read_link(format!("/proc/{guard}/cwd")).unwrap(), Path::new("/"));
    let words = fs::read_to_string(format!("/proc/{guard}/cmdline")).unwrap();
    assert_eq!(words.trim_end_matches('\0'), "obfs-guard");
}
