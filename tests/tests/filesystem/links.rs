//! Hard links, symbolic links, and special files.
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;
use obuilder_tests::Twin;
use obuilder_tests::observe::{describe, outcome};

use crate::can_mount;

#[test]
fn hard_links_share_bytes_owner_and_inode_number() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_103);
    twin.same(|dir| {
        let at = |name: &str| dir.join(name);
        fs::write(at("first"), "x").unwrap();
        fs::create_dir(at("d")).unwrap();
        let results = [
            outcome(fs::hard_link(at("first"), at("d/second"))),
            outcome(fs::hard_link(at("first"), at("d/second"))),
            outcome(fs::hard_link(at("missing"), at("third"))),
            outcome(fs::hard_link(at("d"), at("third"))),
        ];
        fs::write(at("d/second"), "changed").unwrap();
        let stat = |name| fs::metadata(at(name)).unwrap();
        let same = stat("first").ino() == stat("d/second").ino();
        let text = fs::read_to_string(at("first")).unwrap();
        fs::remove_file(at("first")).unwrap();
        (results, same, text, describe(&at("d/second")))
    });
}

#[test]
fn symbolic_links_come_back_byte_for_byte_and_are_followed_by_the_caller() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_103);
    twin.same(|dir| {
        let at = |name: &str| dir.join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/file"), "target").unwrap();
        let long = "x/".repeat(2000);
        let targets = ["d/file", "../nowhere", "/etc/hostname", "./d//./file", "loop", long.as_str()];
        let mut seen = Vec::new();
        for target in targets {
            let link = at("loop");
            seen.push(outcome(symlink(target, &link)));
            seen.push(outcome(fs::read_link(&link)));
            seen.push(outcome(fs::read(&link).map(|bytes| bytes.len())));
            fs::remove_file(&link).unwrap();
        }
        symlink("d", at("to-dir")).unwrap();
        seen.push(outcome(fs::read_to_string(at("to-dir/file"))));
        seen.push(outcome(fs::read_link(at("d/file"))));
        seen.push(outcome(symlink("x", at("to-dir"))));
        seen
    });
}

#[test]
fn a_link_that_points_out_of_the_tree_leads_to_what_the_caller_may_see_there() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_103);
    let secret = twin.world().scratch.path().join("roots-own");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let open = twin.world().scratch.path().join("for-all");
    fs::write(&open, "open").unwrap();
    twin.same(|dir| {
        symlink(&secret, dir.join("secret")).unwrap();
        symlink(&open, dir.join("open")).unwrap();
        let create_through = symlink(secret.with_file_name("new"), dir.join("new"));
        create_through.unwrap();
        [
            outcome(fs::read_to_string(dir.join("secret"))),
            outcome(fs::read_to_string(dir.join("open"))),
            outcome(fs::write(dir.join("new"), "made by whom?")),
            outcome(fs::write(dir.join("open"), "overwritten")),
        ]
    });
}

#[test]
fn climbing_above_the_mount_point_leads_to_its_parent_not_into_the_home() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_103);
    let home = twin.backing.parent().unwrap();
    fs::write(home.join("private"), "x").unwrap();
    let seen = twin.user.run(|| {
        std::env::set_current_dir(twin.world().point.as_path()).unwrap();
        std::env::set_current_dir("..").unwrap();
        (std::env::current_dir().unwrap(), Path::new("private").exists())
    });
    assert_eq!(seen, (twin.world().scratch.path().to_owned(), false));
}

#[test]
fn fifos_and_sockets_work_and_devices_are_for_root_alone() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_103);
    twin.same(|dir| {
        let fifo = mkfifo(&dir.join("fifo"), Mode::from_bits_truncate(0o640));
        let device = mknod(&dir.join("null"), SFlag::S_IFCHR, Mode::S_IRWXU, nix::sys::stat::makedev(1, 3));
        let plain = mknod(&dir.join("plain"), SFlag::S_IFREG, Mode::from_bits_truncate(0o604), 0);
        let text = std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read_to_string(dir.join("fifo")));
            fs::write(dir.join("fifo"), "through the pipe").unwrap();
            reader.join().unwrap()
        });
        // A socket's address holds 108 bytes: reach it from its directory.
        std::env::set_current_dir(dir).unwrap();
        let socket = UnixListener::bind("socket");
        let connected = std::os::unix::net::UnixStream::connect("socket").map(drop);
        (
            outcome(fifo.map_err(io::Error::from)),
            outcome(device.map_err(io::Error::from)),
            outcome(plain.map_err(io::Error::from)),
            outcome(text),
            outcome(socket.map(drop)),
            outcome(connected),
        )
    });
}
