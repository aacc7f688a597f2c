//! Ways into another user's tree, other than by its path.
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use obuilder_tests::handles::Handle;
use obuilder_tests::observe::outcome;
use obuilder_tests::user::outside;
use obuilder_tests::{Need, User, World, require};

use crate::can_mount;

/// A victim with a secret that only it may read, and an attacker.
struct Scene {
    mount: obuilder_tests::Mount,
    victim: User,
    attacker: User,
    world: World,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let (victim, local) = world.resident(44_031);
        let (attacker, own) = world.resident(44_032);
        for (user, dir, text) in [(&victim, &local, "secret"), (&attacker, &own, "own")] {
            user.mkdir(&dir.join("dir"));
            user.run(|| {
                fs::write(dir.join("dir/file"), text).unwrap();
                fs::set_permissions(dir.join("dir/file"), fs::Permissions::from_mode(0o600)).unwrap();
                fs::write(dir.join("dir/open"), text).unwrap();
            });
        }
        Self { mount: world.mount(), victim, attacker, world }
    }

    fn file(&self) -> std::path::PathBuf {
        self.mount.point().join("dir/file")
    }
}

#[test]
fn file_handles_of_the_mount_are_for_root_alone() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let handle = scene.victim.run(|| Handle::of(&scene.file()).unwrap());
    let _known = scene.victim.run(|| File::open(scene.file()).unwrap());
    let tried = scene.attacker.run(|| {
        let root = File::open(scene.mount.point()).unwrap();
        let dir = File::open(scene.mount.point().join("dir")).unwrap();
        [handle.open(&root), handle.open(&dir)].map(|opened| outcome(opened.and_then(io::read_to_string)))
    });
    assert!(tried.iter().all(|result| result.starts_with('E')), "{tried:?}");
}

#[test]
fn a_namespace_of_ones_own_opens_no_handles_and_no_devices() {
    if !require(&[Need::Root, Need::Fuse, Need::Tool("unshare"), Need::Tool("setpriv")]) {
        return;
    }
    let scene = Scene::new();
    let _known = scene.victim.run(|| File::open(scene.file()).unwrap());
    // As root of a namespace of its own, the attacker reads what is not its own, and makes a device.
    let script = "
        cat \"$1/.obuilderfs\" 2>&1 || true; cat \"$1/.obuilderfs/44031-t/local/dir/open\" 2>&1 || true
        mount --bind \"$1\" \"$2\" && cat \"$2/dir/file\"
        mknod \"$1/dir/null\" c 1 3 2>&1 || echo no device";
    let out = Command::new("setpriv")
        .args(["--reuid=44032", "--regid=44032", "--clear-groups", "unshare", "--user", "--map-root-user"])
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([scene.mount.point(), &scene.world.scratch.dir("bound")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!said.contains("secret"), "{said}");
    assert!(said.contains("own") && said.contains("no device"), "{said} {out:?}");
}

#[test]
fn descriptors_of_another_process_are_closed_to_others() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let mut holder = scene.victim.run(|| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<\"$1\"; echo open; read wait", "sh"]).arg(scene.file());
        shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap()
    });
    let mut line = [0; 5];
    io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line).unwrap();
    let through = |what: &str| format!("/proc/{}/{what}", holder.id());
    let tried = scene.attacker.run(|| {
        [through("fd/3"), through("cwd/dir/file"), through(&format!("root{}", scene.file().display()))]
            .map(|path| outcome(fs::read_to_string(path)))
    });
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(tried[0], "EACCES");
    assert!(tried.iter().all(|result| !result.contains("secret")), "{tried:?}");
}

/// A descriptor passed on gives what it was opened for, and no way round the modes of what lies there.
#[test]
fn a_directory_passed_to_another_user_opens_to_him_what_its_modes_allow() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let dir = scene.victim.run(|| File::open(scene.mount.point().join("dir")).unwrap());
    let root = scene.victim.run(|| File::open(scene.mount.point()).unwrap());
    let read = |at: &File, name: &str, flags| {
        let opened = openat(at, name, flags, Mode::S_IRWXU).map_err(io::Error::from);
        outcome(opened.map(File::from).and_then(io::read_to_string))
    };
    let seen = scene.attacker.run(|| {
        [
            read(&dir, "open", OFlag::O_RDONLY),
            read(&dir, "file", OFlag::O_RDONLY),
            read(&dir, "new", OFlag::O_RDWR | OFlag::O_CREAT),
            // From the root it is the attacker's own tree, and above it there is nothing.
            read(&root, "dir/open", OFlag::O_RDONLY),
            read(&dir, "../dir/open", OFlag::O_RDONLY),
        ]
    });
    assert_eq!(seen[..4], ["ok \"secret\"", "EACCES", "EACCES", "ok \"own\""]);
    assert_eq!(seen[4], "ok \"own\"", "up to the root, and from there down one's own tree");
}

#[test]
fn hard_links_to_what_is_not_ones_own_are_refused() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    // What everybody may write to the kernel would let everybody link, fs.protected_hardlinks or not.
    let file = scene.victim.run(|| {
        let path = scene.mount.point().join("dir/open");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        File::open(path).unwrap()
    });
    let outside_file = scene.world.scratch.path().join("roots");
    fs::write(&outside_file, "secret").unwrap();
    let tried = scene.attacker.run(|| {
        let to = scene.mount.point().join("dir/linked");
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let follow = nix::fcntl::AtFlags::AT_SYMLINK_FOLLOW;
        let at = nix::fcntl::AT_FDCWD;
        [
            outcome(fs::hard_link(&outside_file, &to)),
            outcome(nix::unistd::linkat(at, open.as_str(), at, &to, follow).map_err(io::Error::from)),
        ]
    });
    assert_eq!(tried, ["EXDEV", "EXDEV"]);
}

/// Swaps `names` in the attacker's own tree for links that lead out, again and again.
fn swap(dir: &Path, victim: &Path, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let _ = fs::rename(dir.join("a"), dir.join("kept"));
        let _ = symlink(victim, dir.join("a"));
        let _ = fs::remove_file(dir.join("a"));
        let _ = fs::rename(dir.join("kept"), dir.join("a"));
    }
}

#[test]
fn links_swapped_in_under_way_lead_nowhere_the_caller_may_not_go() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let below = scene.world.scratch.path().join("homes/44032/local");
    // Only root may enter: what is reached there was reached with the daemon's rights.
    let locked = scene.world.scratch.dir("locked");
    let vault = scene.world.scratch.dir("locked/vault");
    fs::create_dir(vault.join("b")).unwrap();
    fs::write(vault.join("b/file"), "secret").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    scene.attacker.run(|| {
        fs::create_dir_all(below.join("a/b")).unwrap();
        fs::write(below.join("a/b/file"), "own").unwrap();
    });
    let (done, mut seen) = (AtomicBool::new(false), false);
    let until = Instant::now() + Duration::from_secs(1);
    std::thread::scope(|scope| {
        // Behind the mount, and through it.
        for dir in [&below, scene.mount.point()] {
            let (vault, done, attacker) = (&vault, &done, &scene.attacker);
            scope.spawn(move || attacker.run(|| swap(dir, vault, done)));
        }
        scene.attacker.run(|| {
            while Instant::now() < until {
                let path = scene.mount.point().join("a/b/file");
                seen |= fs::read_to_string(&path).is_ok_and(|text| text == "secret");
                let _ = fs::write(scene.mount.point().join("a/b/made"), "x");
                let _ =
                    fs::set_permissions(scene.mount.point().join("a/b"), fs::Permissions::from_mode(0o777));
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    assert!(!seen, "read with the daemon's rights");
    assert!(!vault.join("b/made").exists());
    assert_eq!(fs::metadata(vault.join("b")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_file_system_that_its_owner_leaves_unanswered_hangs_nobody_else() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let stuck = scene.world.scratch.path().join("homes/44032/local/stuck");
    scene.attacker.mkdir(&stuck);
    let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
    // As fusermount3 mounts it for that user.
    let options = format!("fd={},rootmode=40000,user_id=44032,group_id=44032", device.as_raw_fd());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("stuck"), &stuck, Some("fuse.stuck"), flags, Some(options.as_str())).unwrap();
    for _ in 0..8 {
        let (attacker, path) = (scene.attacker.clone(), scene.mount.point().join("stuck"));
        std::thread::spawn(move || {
            attacker.run(|| {
                let _ = fs::metadata(path.join("x"));
                let _ = fs::read_dir(&path).map(Iterator::count);
            });
        });
    }
    let (victim, path) = (scene.victim.clone(), scene.file());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        victim.run(|| {
            let deadline = Instant::now() + Duration::from_secs(1);
            let mut last = String::new();
            while Instant::now() < deadline {
                last = outcome(fs::read_to_string(&path));
            }
            tell.send(last).unwrap();
        });
    });
    let read = told.recv_timeout(Duration::from_secs(10));
    drop(device);
    assert_eq!(read.as_deref(), Ok("ok \"secret\""));
}

#[test]
fn links_that_others_put_into_a_sticky_scoreboard_do_not_count() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    fs::set_permissions(&world.scoreboard, fs::Permissions::from_mode(0o1777)).unwrap();
    let (victim, local) = world.resident(44_031);
    fs::write(local.join("which"), "victim's").unwrap();
    fs::write(world.fallback.join("which"), "fallback").unwrap();
    let attacker = User::new(44_032);
    attacker.run(|| {
        // For itself, to see what root would not have shown it; for another; and over one that is there.
        symlink(local.parent().unwrap(), world.scoreboard.join("44032")).unwrap();
        symlink(local.parent().unwrap(), world.scoreboard.join("44033")).unwrap();
        symlink("/", world.scoreboard.join("new")).unwrap();
        assert_eq!(
            outcome(fs::rename(world.scoreboard.join("new"), world.scoreboard.join("44031"))),
            "EPERM"
        );
    });
    let mount = world.mount();
    let which = |user: &User| user.run(|| outcome(fs::read_to_string(mount.point().join("which"))));
    assert_eq!(which(&victim), "ok \"victim's\"");
    for user in [&attacker, &User::new(44_033)] {
        assert_ne!(which(user), "ok \"victim's\"", "{user:?}");
    }
    let shown = fs::metadata(mount.point().join(".obuilderfs/44033-t")).is_err();
    assert!(shown, "a private view by a link that does not count");
}

#[test]
fn a_working_directory_stays_in_its_view_when_the_link_moves() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    // A working directory inside a view survives; it leads to that view alone, whoever's link changes.
    scene.attacker.run(|| {
        std::env::set_current_dir(scene.mount.point().join("dir")).unwrap();
        outside(|| scene.world.publish(44_032, &scene.world.scratch.path().join("homes/44031")));
        assert_eq!(outcome(fs::read_to_string("open")), "ok \"own\"");
        assert_eq!(outcome(fs::read_to_string("../dir/open")), "ok \"secret\"", "its link leads there now");
        assert_eq!(outcome(fs::OpenOptions::new().write(true).mode(0o600).open("open").map(drop)), "ok ()");
    });
}
