//! What a user does who means harm: to others, to the daemon, or to see more than is his.
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use obuilder_tests::observe::outcome;
use obuilder_tests::process::forked;
use obuilder_tests::{Need, User, World, require};

use crate::can_mount;

/// Gives up on `code` after `limit`: what hangs on the mount goes on when the mount is gone.
fn within<T: Send + 'static>(limit: Duration, code: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(code()));
    result.recv_timeout(limit).ok()
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn nobody_replaces_moves_or_removes_the_directory_of_private_views() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(44_001);
    let mount = world.mount();
    let control = mount.point().join(".obuilderfs");
    let enter = |token: &str| outcome(fs::read_dir(control.join(format!("44001-{token}"))).map(drop));
    assert_eq!(enter("a"), "ok ()");
    user.mkdir(&local.join(".obuilderfs"));
    let tried = user.run(|| {
        let at = |name: &str| mount.point().join(name);
        for name in ["dir", "dir2"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("file"), "x").unwrap();
        let rename = |from: &str, to: &str, flags| {
            outcome(renameat2(AT_FDCWD, &at(from), AT_FDCWD, &at(to), flags).map_err(io::Error::from))
        };
        [
            outcome(fs::remove_dir(&control)),
            rename("dir", ".obuilderfs", RenameFlags::empty()),
            rename("dir2", ".obuilderfs", RenameFlags::RENAME_EXCHANGE),
            rename(".obuilderfs", "moved", RenameFlags::empty()),
            outcome(fs::remove_dir(at("moved"))),
            outcome(fs::create_dir(&control)),
            outcome(fs::write(&control, "x")),
            outcome(symlink("x", &control)),
            outcome(fs::hard_link(at("file"), &control)),
            outcome(fs::remove_file(&control)),
            outcome(fs::set_permissions(&control, fs::Permissions::from_mode(0o777))),
        ]
    });
    assert!(tried.iter().all(|result| result.starts_with('E')), "{tried:?}");
    assert_eq!(enter("b"), "ok ()");
    assert_eq!(enter("a"), "ok ()");
    assert!(local.join(".obuilderfs").is_dir(), "the user's own");
}

#[test]
fn a_tree_that_is_closed_natively_is_closed_at_the_mount_point() {
    if !require(&[Need::Root, Need::Fuse, Need::Tool("setfacl")]) {
        return;
    }
    let world = World::new();
    let native = world.scratch.dir("native");
    for dir in [&native, &world.fallback] {
        fs::write(dir.join("file"), "secret").unwrap();
        fs::create_dir(dir.join("dir")).unwrap();
        fs::create_dir(dir.join("open")).unwrap();
        fs::set_permissions(dir.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
        xattr::set(dir, "user.x", b"y").unwrap();
        fs::write(dir.join("dir/file"), "secret").unwrap();
        chown(dir, Some(44_002), Some(44_009)).unwrap();
    }
    let mount = world.mount();
    let stranger = User::new(44_003);
    let member = User::new(44_004).with_groups(&[44_009]);
    let modes = ["700", "711", "707", "710", "750", "755", "701", "606", "777", "1777"];
    let lists = ["u:44003:-", "u:44003:r", "g:44009:-", "u:44004:rwx"];
    let chmod = |mode| format!("setfacl -b \"$1\"; chmod {mode} \"$1\"");
    let changes = modes
        .map(chmod)
        .into_iter()
        .chain(lists.map(|list| format!("setfacl -b \"$1\"; chmod 775 \"$1\"; setfacl -m {list} \"$1\"")));
    for change in changes {
        for dir in [&native, &world.fallback] {
            assert!(User::new(0).sh(&change, &[dir]).status.success());
        }
        for user in [&User::new(44_002), &stranger, &member, &User::new(0)] {
            let try_all = |dir: &Path| {
                user.run(|| {
                    [
                        outcome(fs::read(dir.join("file"))),
                        outcome(fs::read(dir.join("dir/file"))),
                        outcome(fs::metadata(dir.join("file")).map(|meta| meta.len())),
                        outcome(fs::read_dir(dir).map(Iterator::count)),
                        outcome(fs::read_dir(dir.join("dir")).map(Iterator::count)),
                        outcome(fs::write(dir.join("new"), "x")),
                        outcome(fs::create_dir(dir.join("new-dir"))),
                        outcome(fs::rename(dir.join("new"), dir.join("newer"))),
                        outcome(fs::rename(dir.join("newer"), dir.join("open/newer"))),
                        outcome(fs::rename(dir.join("open/newer"), dir.join("newer"))),
                        outcome(fs::hard_link(dir.join("newer"), dir.join("newest"))),
                        outcome(fs::remove_file(dir.join("newer"))),
                        outcome(fs::remove_file(dir.join("newest"))),
                        outcome(xattr::get(dir, "user.x")),
                        outcome(fs::remove_dir(dir.join("new-dir"))),
                    ]
                })
            };
            assert_eq!(try_all(mount.point()), try_all(&native), "{change}, {user:?}");
        }
    }
}

#[test]
fn homes_that_lead_into_the_mount_hang_nobody() {
    if !can_mount() {
        return;
    }
    for threads in ["threads=1", "threads=2"] {
        let world = World::new();
        let (good, local) = world.resident(44_001);
        fs::write(local.join("file"), "fine").unwrap();
        let links = world.scratch.dir("links");
        symlink(world.point.join("sub/home"), links.join("through")).unwrap();
        let bad: Vec<u32> = (44_100..44_108).collect();
        for uid in &bad {
            world.publish(*uid, &links.join("through"));
        }
        let mount = world.mount_with(&["-o", threads]);
        let point = mount.point().to_owned();
        let others = bad.clone();
        let answered = within(SOON, move || {
            std::thread::scope(|scope| {
                for uid in others {
                    let point = &point;
                    scope.spawn(move || User::new(uid).run(|| fs::metadata(point.join("file")).is_ok()));
                }
            });
        });
        let point = mount.point().to_owned();
        let read = within(SOON, move || good.run(|| outcome(fs::read_to_string(point.join("file")))));
        assert_eq!(read.as_deref(), Some("ok \"fine\""), "{threads}: beside homes that lead into the mount");
        assert!(answered.is_some(), "{threads}: an answer to those whose home leads into the mount");
    }
}

/// Makes `path` a fifo and nothing again until told to stop.
fn flicker(path: &Path, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let _ = nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU);
        let _ = fs::remove_file(path);
    }
}

#[test]
fn a_fifo_put_where_a_file_is_being_made_hangs_nobody() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(44_001);
    let (other, others) = world.resident(44_002);
    fs::write(others.join("file"), "fine").unwrap();
    let mount = world.mount();
    let done = Arc::new(AtomicBool::new(false));
    let (flickerer, told, behind) = (user.clone(), Arc::clone(&done), local.join("x"));
    let flickering = std::thread::spawn(move || flickerer.run(|| flicker(&behind, &told)));
    // Whoever opens the fifo itself waits for ever, which is the user's own affair: its threads are left behind.
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        let (user, path) = (user.clone(), mount.point().join("x"));
        within(Duration::from_millis(5), move || user.run(|| outcome(File::create(path).map(drop))));
    }
    let path = mount.point().join("file");
    let read = within(SOON, move || other.run(|| outcome(fs::read_to_string(path))));
    done.store(true, Ordering::Relaxed);
    flickering.join().unwrap();
    assert_eq!(read.as_deref(), Some("ok \"fine\""), "a neighbour, beside");
}

#[test]
fn a_lease_on_ones_own_file_hangs_nobody() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(44_001);
    let (other, others) = world.resident(44_002);
    fs::write(others.join("file"), "fine").unwrap();
    let mount = world.mount();
    let held: Vec<fs::File> = user.run(|| {
        (0..16)
            .map(|n| {
                let path = local.join(n.to_string());
                fs::write(&path, "x").unwrap();
                let file = fs::File::open(&path).unwrap();
                obuilder_tests::lease::take_read_lease(&file).unwrap();
                file
            })
            .collect()
    });
    for n in 0..16 {
        let (user, path) = (user.clone(), mount.point().join(n.to_string()));
        std::thread::spawn(move || user.run(|| drop(fs::OpenOptions::new().write(true).open(path))));
    }
    let point = mount.point().to_owned();
    let read = within(SOON, move || {
        other.run(|| {
            // While they come to wait, one after the other.
            (0..200).map(|_| outcome(fs::read_to_string(point.join("file")))).next_back().unwrap()
        })
    });
    drop(held);
    assert_eq!(read.as_deref(), Some("ok \"fine\""));
}

/// Opens `path` as often as this process may, says so to `told`, and holds all of it until `end` is closed.
fn hoard(path: &Path, (told, end): (&impl AsFd, &impl AsFd)) -> i32 {
    let flags = (nix::fcntl::OFlag::O_RDONLY, nix::sys::stat::Mode::empty());
    while nix::fcntl::open(path, flags.0, flags.1).map(IntoRawFd::into_raw_fd).is_ok() {}
    let _ = nix::unistd::write(told, b"!");
    let _ = nix::unistd::read(end, &mut [0]);
    0
}

#[test]
fn one_users_open_files_leave_room_for_the_others() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(44_001);
    let (other, others) = world.resident(44_002);
    for file in [local.join("file"), others.join("file")] {
        fs::write(file, "fine").unwrap();
    }
    let mount = world.mount();
    let path = mount.point().join("file");
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    // More than one process, for each has a limit of its own.
    let (told, tell) = nix::unistd::pipe().unwrap();
    let (end, go_on) = nix::unistd::pipe().unwrap();
    let read = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                user.run(|| {
                    forked(|| {
                        let _ = nix::unistd::close(go_on.as_raw_fd());
                        hoard(&path, (&tell, &end))
                    })
                })
            });
        }
        for _ in 0..2 {
            nix::unistd::read(&told, &mut [0]).unwrap();
        }
        let read = other.run(|| outcome(fs::read_to_string(&path)));
        nix::unistd::write(&go_on, b"..").unwrap();
        read
    });
    assert_eq!(read, "ok \"fine\"");
}
