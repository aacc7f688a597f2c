//! Modes, owners, times, extended attributes, access control lists, and the file system's own numbers.
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::stat::{Mode, umask};
use obuilder_tests::observe::{describe, outcome};
use obuilder_tests::{Need, Twin, User, World, require};

use crate::can_mount;

fn chmod(path: &Path, mode: u32) -> String {
    outcome(fs::set_permissions(path, fs::Permissions::from_mode(mode)))
}

#[test]
fn every_mode_bit_is_kept_and_the_rules_for_set_gid_hold() {
    if !can_mount() {
        return;
    }
    let twin = Twin::with_groups(41_104, &[41_190]);
    twin.same(|dir| {
        let (file, sub) = (dir.join("file"), dir.join("sub"));
        fs::write(&file, "x").unwrap();
        fs::create_dir(&sub).unwrap();
        let mut seen = Vec::new();
        for mode in [0o000, 0o400, 0o755, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777] {
            seen.push((chmod(&file, mode), describe(&file), chmod(&sub, mode), describe(&sub)));
        }
        // A group that is not the owner's own takes set-gid away, one that is keeps it.
        seen.push((
            outcome(chown(&file, None, Some(41_190))),
            describe(&file),
            chmod(&file, 0o2755),
            describe(&file),
        ));
        seen
    });
}

#[test]
fn a_user_gives_files_to_his_own_groups_and_to_nobody_else() {
    if !can_mount() {
        return;
    }
    let twin = Twin::with_groups(41_104, &[41_190]);
    twin.same(|dir| {
        let file = dir.join("file");
        fs::write(&file, "x").unwrap();
        symlink("file", dir.join("link")).unwrap();
        [
            outcome(chown(&file, Some(41_104), None)),
            outcome(chown(&file, None, Some(41_190))),
            outcome(chown(&file, None, Some(41_191))),
            outcome(chown(&file, Some(41_191), None)),
            outcome(chown(&file, Some(0), Some(0))),
            outcome(lchown(dir.join("link"), None, Some(41_190))),
        ]
    });
}

#[test]
fn a_users_modes_and_owners_are_not_another_users_to_change() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_104);
    twin.prepare(|dir| {
        fs::write(dir.join("roots"), "x").unwrap();
        fs::write(dir.join("others"), "x").unwrap();
        chown(dir.join("others"), Some(41_191), Some(41_104)).unwrap();
        fs::set_permissions(dir.join("others"), fs::Permissions::from_mode(0o660)).unwrap();
    });
    twin.same(|dir| {
        ["roots", "others"].map(|name| {
            let file = dir.join(name);
            let times = File::options()
                .write(true)
                .open(&file)
                .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH));
            (
                chmod(&file, 0o777),
                outcome(chown(&file, None, Some(41_104))),
                outcome(times),
                outcome(xattr::set(&file, "user.x", b"y")),
            )
        })
    });
}

#[test]
fn times_are_set_to_the_nanosecond_and_of_links_themselves() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_104);
    twin.same(|dir| {
        use nix::sys::stat::{UtimensatFlags, utimensat};
        use nix::sys::time::TimeSpec;
        let file = dir.join("file");
        fs::write(&file, "x").unwrap();
        symlink("file", dir.join("link")).unwrap();
        let past = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
        let times = FileTimes::new().set_accessed(past).set_modified(past + Duration::from_nanos(1));
        File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        let here = nix::fcntl::AT_FDCWD;
        let set = |name: &str, a: TimeSpec, m: TimeSpec| {
            let result = utimensat(here, &dir.join(name), &a, &m, UtimensatFlags::NoFollowSymlink);
            outcome(result.map_err(io::Error::from))
        };
        let link = set("link", TimeSpec::new(5, 6), TimeSpec::new(7, 8));
        let kept = set("file", TimeSpec::UTIME_OMIT, TimeSpec::new(9, 10));
        let stat = |name: &str| {
            let meta = fs::symlink_metadata(dir.join(name)).unwrap();
            (
                meta.mtime(),
                meta.mtime_nsec(),
                if name == "link" { (0, 0) } else { (meta.atime(), meta.atime_nsec()) },
            )
        };
        (link, kept, stat("file"), stat("link"))
    });
}

#[test]
fn now_is_now_and_a_change_moves_ctime() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_104);
    twin.same(|dir| {
        let file = dir.join("file");
        let ctime = || fs::metadata(&file).map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
        let began = SystemTime::now() - Duration::from_secs(1);
        fs::write(&file, "x").unwrap();
        let mut moved = Vec::new();
        let mut last = ctime();
        let changes: [&dyn Fn(); 4] = [
            &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap(),
            &|| fs::write(&file, "longer").unwrap(),
            &|| fs::hard_link(&file, dir.join("second")).unwrap(),
            &|| xattr::set(&file, "user.x", b"y").unwrap(),
        ];
        for change in changes {
            // The kernel's clock ticks every few milliseconds: repeat until the tick can be seen.
            let deadline = SystemTime::now() + Duration::from_secs(5);
            change();
            while ctime() == last && SystemTime::now() < deadline {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            }
            moved.push(ctime() > last);
            last = ctime();
        }
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        (moved, modified >= began && modified <= SystemTime::now() + Duration::from_secs(1))
    });
}

#[test]
fn extended_attributes_are_set_listed_replaced_and_removed() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_104);
    twin.same(|dir| {
        let file = dir.join("file");
        fs::write(&file, "x").unwrap();
        fs::create_dir(dir.join("sub")).unwrap();
        symlink("file", dir.join("link")).unwrap();
        let big = vec![b'v'; 3000];
        [
            outcome(xattr::get(&file, "user.none")),
            outcome(xattr::set(&file, "user.one", b"1")),
            outcome(xattr::set(&file, "user.empty", b"")),
            outcome(xattr::set(&file, "user.big", &big)),
            outcome(xattr::set(&file, "user.one", b"\x00\xff")),
            outcome(xattr::get(&file, "user.one")),
            outcome(xattr::get(&file, "user.big").map(|value| value.map(|v| v.len()))),
            outcome(xattr::list(&file).map(|names| {
                let mut names: Vec<_> = names.collect();
                names.sort();
                names
            })),
            outcome(xattr::remove(&file, "user.empty")),
            outcome(xattr::remove(&file, "user.empty")),
            outcome(xattr::set(dir.join("sub"), "user.dir", b"d")),
            outcome(xattr::set(dir.join("link"), "user.x", b"y")),
            outcome(xattr::set(&file, "trusted.x", b"y")),
            outcome(xattr::set(&file, "security.x", b"y")),
            outcome(xattr::set(&file, "nonsense", b"y")),
        ]
    });
}

#[test]
fn access_control_lists_are_kept_and_obeyed() {
    if !require(&[Need::Root, Need::Fuse, Need::Tool("setfacl")]) {
        return;
    }
    let twin = Twin::new(41_104);
    twin.prepare(|dir| {
        let script = "
            echo secret >\"$1/for-him\"; chmod 600 \"$1/for-him\"; setfacl -m u:41104:r \"$1/for-him\"
            echo secret >\"$1/not-him\"; chmod 644 \"$1/not-him\"; setfacl -m u:41104:- \"$1/not-him\"
            mkdir \"$1/inherits\"; chmod 777 \"$1/inherits\"; setfacl -d -m u:41199:rwx \"$1/inherits\"";
        let done = User::new(0).sh(script, &[dir]);
        assert!(done.status.success(), "{done:?}");
    });
    twin.same(|dir| {
        fs::write(dir.join("inherits/new"), "x").unwrap();
        fs::create_dir(dir.join("inherits/sub")).unwrap();
        [
            outcome(fs::read_to_string(dir.join("for-him"))),
            outcome(fs::write(dir.join("for-him"), "x")),
            outcome(fs::read_to_string(dir.join("not-him"))),
            describe(&dir.join("inherits/new")),
            describe(&dir.join("inherits/sub")),
        ]
    });
}

#[test]
fn umask_and_mode_of_creation_decide_the_mode() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_104);
    twin.same(|dir| {
        for mask in [0o000, 0o022, 0o027, 0o077, 0o777] {
            umask(Mode::from_bits_truncate(mask));
            let name = |kind: &str| dir.join(format!("{kind}-{mask:o}"));
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o6777).open(name("file")).unwrap();
            fs::create_dir(name("dir")).unwrap();
            nix::unistd::mkfifo(&name("fifo"), Mode::from_bits_truncate(0o666)).unwrap();
        }
    });
}

#[test]
fn what_is_made_in_a_set_gid_directory_has_its_group() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_104);
    twin.prepare(|dir| {
        fs::create_dir(dir.join("team")).unwrap();
        chown(dir.join("team"), Some(0), Some(41_190)).unwrap();
        fs::set_permissions(dir.join("team"), fs::Permissions::from_mode(0o2777)).unwrap();
    });
    twin.same(|dir| {
        let team = dir.join("team");
        fs::write(team.join("file"), "x").unwrap();
        fs::create_dir_all(team.join("sub/deeper")).unwrap();
        symlink("file", team.join("link")).unwrap();
        ["file", "sub", "sub/deeper", "link"].map(|name| describe(&team.join(name)))
    });
}

#[test]
fn a_homes_owner_is_shown_as_the_caller_and_written_back_as_the_owner() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (owner, guest) = (User::new(41_105), User::new(41_106));
    let home = world.home("made-by-105", &owner);
    let local = home.join("local");
    fs::write(local.join("of-root"), "x").unwrap();
    owner.run(|| fs::write(local.join("made-before"), "x")).unwrap();
    world.publish(guest.uid, &home);
    let mount = world.mount();
    let seen = guest.run(|| {
        let at = |name: &str| mount.point().join(name);
        fs::write(at("new"), "x").unwrap();
        fs::write(at("made-before"), "changed").unwrap();
        fs::set_permissions(at("made-before"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(outcome(chown(at("new"), Some(guest.uid), None)), "ok ()");
        ["new", "made-before", "of-root"].map(|name| fs::metadata(at(name)).unwrap().uid())
    });
    assert_eq!(seen, [guest.uid, guest.uid, 0], "as the guest sees them");
    let below = ["new", "made-before", "of-root"].map(|name| fs::metadata(local.join(name)).unwrap().uid());
    assert_eq!(below, [owner.uid, owner.uid, 0], "as they lie in the home");
}

#[test]
fn statfs_gives_the_numbers_of_the_file_system_below() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_104);
    twin.same(|dir| {
        fs::write(dir.join("file"), "x").unwrap();
        let of = nix::sys::statvfs::statvfs(&dir.join("file")).unwrap();
        (of.blocks(), of.block_size(), of.fragment_size(), of.files(), of.name_max())
    });
}

#[test]
fn inode_numbers_and_block_counts_are_stable() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_104);
    user.run(|| fs::write(local.join("file"), vec![1; 100_000])).unwrap();
    user.mkdir(&local.join("sub"));
    let look = |point: &Path| {
        user.run(|| {
            ["file", "sub"].map(|name| fs::metadata(point.join(name)).map(|m| (m.ino(), m.blocks())).unwrap())
        })
    };
    let mount = world.mount();
    let first = look(mount.point());
    assert_eq!(look(mount.point()), first);
    assert_ne!(first[0].0, first[1].0);
    drop(mount);
    let again = world.mount();
    assert_eq!(look(again.point()), first, "after a new mount");
}
