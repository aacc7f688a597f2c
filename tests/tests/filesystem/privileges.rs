//! What a change takes away besides: set-id bits and capabilities, whoever has the file open.
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{FallocateFlags, fallocate};
use obuilder_tests::observe::outcome;
use obuilder_tests::user::outside;
use obuilder_tests::{Need, Twin, User, World, require};

use crate::can_mount;

/// A name for it, and what it does with the path and the open file.
type Change = (&'static str, fn(&Path, &File) -> std::io::Result<()>);

const CHANGES: [Change; 8] = [
    ("write", |_, mut file| file.write_all(b"x")),
    ("pwrite", |_, file| file.write_all_at(b"x", 2)),
    ("append", |path, _| OpenOptions::new().append(true).open(path)?.write_all(b"x")),
    ("ftruncate", |_, file| file.set_len(1)),
    ("truncate", |path, _| nix::unistd::truncate(path, 1).map_err(Into::into)),
    ("fallocate", |_, file| fallocate(file, FallocateFlags::empty(), 0, 10).map_err(Into::into)),
    ("open to cut", |path, _| File::create(path).map(drop)),
    ("copy", |path, file| {
        let from = File::open(path)?;
        obuilder_tests::copying::copy_file_range((&from, 0), (file, 4), 2).map(drop)
    }),
];

const MODES: [u32; 4] = [0o4777, 0o2777, 0o6777, 0o2767];

/// After `writer` has done each of the changes to a file that `first` has opened already: its mode.
fn modes_left(dir: &Path, first: &User, writer: &User) -> Vec<String> {
    let mut left = Vec::new();
    for mode in MODES {
        for (what, change) in CHANGES {
            let path = dir.join("file");
            outside(|| {
                fs::write(&path, "content").unwrap();
                chown(&path, Some(44_061), Some(44_069)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            });
            let held = first.run(|| OpenOptions::new().read(true).write(true).open(&path).unwrap());
            let result = writer.run(|| {
                let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
                outcome(change(&path, &file))
            });
            drop(held);
            let now = fs::metadata(&path).unwrap().mode() & 0o7777;
            left.push(format!("{what} on {mode:o}: {result}, {now:o}"));
            fs::remove_file(&path).unwrap();
        }
    }
    left
}

fn bits_go_as_natively(options: &[&str]) {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let native = world.scratch.dir("native");
    for dir in [&native, &world.fallback] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mount = world.mount_with(options);
    let users = [
        User::new(0),
        User::new(44_061),
        User::new(44_062).with_groups(&[44_069]),
        User { uid: 44_063, gid: 44_069, groups: vec![] },
        User::new(44_064),
    ];
    for first in &users {
        for writer in &users {
            let there = modes_left(mount.point(), first, writer);
            let here = modes_left(&native, first, writer);
            assert_eq!(there, here, "opened first by {}, changed by {}", first.uid, writer.uid);
        }
    }
}

#[test]
fn set_id_bits_go_with_a_change_as_natively_whoever_opened_the_file_first() {
    bits_go_as_natively(&[]);
}

#[test]
fn set_id_bits_go_with_a_change_as_natively_with_bytes_through_the_daemon() {
    bits_go_as_natively(&["-o", "nopassthrough"]);
}

fn capabilities(path: &Path) -> bool {
    xattr::get(path, "security.capability").unwrap().is_some()
}

fn capabilities_go_as_natively(options: &[&str]) {
    if !require(&[Need::Root, Need::Fuse, Need::Tool("setcap")]) {
        return;
    }
    let world = World::new();
    let native = world.scratch.dir("native");
    let mount = world.mount_with(options);
    for (what, change) in CHANGES {
        for uid in [0, 44_061] {
            let left =
                [(&native, native.as_path()), (&world.fallback, mount.point())].map(|(below, seen)| {
                    fs::write(below.join("file"), "content").unwrap();
                    fs::set_permissions(below.join("file"), fs::Permissions::from_mode(0o777)).unwrap();
                    let set =
                        Command::new("setcap").arg("cap_net_raw+ep").arg(seen.join("file")).status().unwrap();
                    assert!(set.success() && capabilities(&below.join("file")), "setcap");
                    let path = seen.join("file");
                    let result = User::new(uid).run(|| {
                        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
                        outcome(change(&path, &file))
                    });
                    let left = (result, capabilities(&below.join("file")), capabilities(&path));
                    fs::remove_file(below.join("file")).unwrap();
                    left
                });
            assert_eq!(left[1], left[0], "{what} by {uid}: result, has them below, is seen to have them");
        }
    }
}

#[test]
fn capabilities_go_with_a_change_as_natively() {
    capabilities_go_as_natively(&[]);
}

#[test]
fn capabilities_go_with_a_change_as_natively_with_bytes_through_the_daemon() {
    capabilities_go_as_natively(&["-o", "nopassthrough"]);
}

/// What is left of `mode`, or of capabilities, that appear on `below` after `writer` has opened `path`, the same
/// file, once it writes another byte.
fn left_of_what_appeared(below: &Path, path: &Path, writer: &User, mode: u32) -> String {
    fs::write(below, "content").unwrap();
    chown(below, Some(44_061), Some(44_069)).unwrap();
    fs::set_permissions(below, fs::Permissions::from_mode(0o666)).unwrap();
    let file = writer.run(|| OpenOptions::new().read(true).write(true).open(path).unwrap());
    writer.run(|| file.write_all_at(b"x", 0).unwrap());
    User::new(44_061).run(|| fs::set_permissions(below, fs::Permissions::from_mode(mode)).unwrap());
    assert!(Command::new("setcap").arg("cap_net_raw+ep").arg(below).status().unwrap().success());
    writer.run(|| file.write_all_at(b"y", 1).unwrap());
    let left = (fs::metadata(below).unwrap().mode() & 0o7777, capabilities(below));
    fs::remove_file(below).unwrap();
    format!("{:o}, capabilities {}", left.0, left.1)
}

fn what_appears_goes_as_natively(options: &[&str]) {
    if !require(&[Need::Root, Need::Fuse, Need::Tool("setcap")]) {
        return;
    }
    let world = World::new();
    let native = world.scratch.dir("native").join("file");
    let mount = world.mount_with(options);
    let (below, seen) = (world.fallback.join("file"), mount.point().join("file"));
    let in_group = User { uid: 44_063, gid: 44_069, groups: vec![] };
    for writer in [User::new(0), User::new(44_061), in_group, User::new(44_064)] {
        for mode in MODES {
            assert_eq!(
                left_of_what_appeared(&below, &seen, &writer, mode),
                left_of_what_appeared(&native, &native, &writer, mode),
                "{mode:o} written by {}; left: through the mount, right: natively",
                writer.uid
            );
        }
    }
}

#[test]
fn bits_that_appear_behind_the_mount_go_with_the_next_write_of_who_has_the_file_open() {
    what_appears_goes_as_natively(&[]);
}

#[test]
fn bits_that_appear_behind_the_mount_go_with_the_next_write_through_the_daemon() {
    what_appears_goes_as_natively(&["-o", "nopassthrough"]);
}

#[test]
fn who_may_not_write_takes_no_set_id_bits_away() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let native = world.scratch.dir("native");
    for dir in [&native, &world.fallback] {
        fs::write(dir.join("program"), "x").unwrap();
        fs::set_permissions(dir.join("program"), fs::Permissions::from_mode(0o6755)).unwrap();
    }
    let mount = world.mount();
    let tried = [&native, mount.point()].map(|dir| {
        let path = dir.join("program");
        let empty = User::new(44_064).run(|| outcome(chown(&path, None, None)));
        let owners = outcome(chown(&path, None, None));
        (empty, owners, fs::metadata(&path).unwrap().mode())
    });
    assert_eq!(tried[1], tried[0], "left: through the mount, right: natively");
}

#[test]
fn default_acls_and_the_umask_decide_what_new_objects_get() {
    if !require(&[Need::Root, Need::Fuse, Need::Tool("setfacl")]) {
        return;
    }
    let twin = Twin::with_groups(44_065, &[44_069]);
    let lists =
        ["d:u:44064:rwx", "d:g:44069:r-x,d:m::r", "d:u::rwx,d:g::-,d:o::-", "d:u:44064:rw,d:m::rw,d:o::rwx"];
    twin.prepare(|dir| {
        for (number, list) in lists.iter().enumerate() {
            let script =
                "mkdir \"$1\"; chown 44065:44069 \"$1\"; chmod 2775 \"$1\"; setfacl -m \"$2\" \"$1\"";
            let dir = dir.join(number.to_string());
            let done = User::new(0).sh(script, &[dir.as_os_str(), std::ffi::OsStr::new(list)]);
            assert!(done.status.success(), "{done:?}");
        }
    });
    twin.same(|dir| {
        for number in 0..lists.len() {
            for mask in [0o000, 0o027, 0o777] {
                nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
                let at = |kind: &str| dir.join(format!("{number}/{kind}-{mask:o}"));
                fs::write(at("file"), "x").unwrap();
                fs::create_dir(at("dir")).unwrap();
                nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
                std::os::unix::fs::symlink("x", at("link")).unwrap();
                let nameless =
                    obuilder_tests::nameless::create(&dir.join(number.to_string()), 0o666).unwrap();
                obuilder_tests::nameless::link(&nameless, &at("nameless")).unwrap();
                fs::create_dir(at("dir").join("deeper")).map_err(|e| e.kind()).ok();
            }
        }
    });
    // A list set by the owner: the set-group-id bit stays, for the group is one of the owner's.
    twin.same(|dir| {
        let set = |list: &str, name: &str| {
            let status = Command::new("setfacl").args(["-m", list]).arg(dir.join(name)).status();
            outcome(status.map(|status| status.success()))
        };
        [set("u:44064:rx", "0"), set("g::rwx", "1"), set("m::-", "2")]
    });
}
