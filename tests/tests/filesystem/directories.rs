//! Directories: made, listed, moved, removed.
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use obuilder_tests::observe::{describe, outcome};
use obuilder_tests::{Twin, World};

use crate::can_mount;

fn names(dir: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn rename(dir: &Path, from: &str, to: &str, flags: RenameFlags) -> String {
    let result = renameat2(AT_FDCWD, &dir.join(from), AT_FDCWD, &dir.join(to), flags);
    outcome(result.map_err(io::Error::from))
}

#[test]
fn directories_are_made_and_removed_with_the_native_errors() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        let at = |name: &str| dir.join(name);
        let results = [
            outcome(fs::create_dir(at("d"))),
            outcome(fs::create_dir(at("d"))),
            outcome(fs::create_dir(at("missing/d"))),
            outcome(fs::write(at("d/file"), "x")),
            outcome(fs::create_dir(at("d/file/x"))),
            outcome(fs::remove_dir(at("d"))),
            outcome(fs::remove_dir(at("d/file"))),
            outcome(fs::remove_file(at("d"))),
            outcome(fs::remove_file(at("d/file"))),
            outcome(fs::remove_dir(at("d"))),
            outcome(fs::remove_dir(at("d"))),
        ];
        (results, names(dir))
    });
}

#[test]
fn rename_moves_replaces_and_refuses_as_natively() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        fs::write(dir.join("a"), "a").unwrap();
        fs::write(dir.join("b"), "b").unwrap();
        fs::create_dir_all(dir.join("full/below")).unwrap();
        fs::create_dir_all(dir.join("empty")).unwrap();
        let none = RenameFlags::empty();
        [
            rename(dir, "a", "b", none),
            rename(dir, "missing", "c", none),
            rename(dir, "b", "full", none),
            rename(dir, "full", "b", none),
            rename(dir, "empty", "full", none),
            rename(dir, "full", "full/below/x", none),
            rename(dir, "full", "empty", none),
            rename(dir, "empty/below", "below", none),
            rename(dir, "b", "below/b", none),
            rename(dir, "b", "nowhere/b", none),
        ]
    });
}

#[test]
fn rename_without_replacing_and_in_exchange_does_what_the_flags_say() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        fs::write(dir.join("a"), "a").unwrap();
        fs::write(dir.join("b"), "bb").unwrap();
        fs::create_dir_all(dir.join("d/below")).unwrap();
        let results = [
            rename(dir, "a", "b", RenameFlags::RENAME_NOREPLACE),
            rename(dir, "a", "c", RenameFlags::RENAME_NOREPLACE),
            rename(dir, "c", "b", RenameFlags::RENAME_EXCHANGE),
            rename(dir, "c", "d", RenameFlags::RENAME_EXCHANGE),
            rename(dir, "c", "missing", RenameFlags::RENAME_EXCHANGE),
            rename(dir, "b", "c/below/b", RenameFlags::RENAME_NOREPLACE),
        ];
        let after: Vec<String> = ["a", "b", "c", "c/below", "c/below/b", "d", "d/below"]
            .iter()
            .map(|name| format!("{name} {}", describe(&dir.join(name))))
            .collect();
        (results, after)
    });
}

#[test]
fn open_files_and_working_directories_follow_a_rename() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        fs::create_dir_all(dir.join("one/deep/er")).unwrap();
        fs::write(dir.join("one/deep/er/file"), "x").unwrap();
        std::env::set_current_dir(dir.join("one/deep/er")).unwrap();
        fs::rename(dir.join("one"), dir.join("two")).unwrap();
        let here = std::env::current_dir().unwrap();
        let here = here.strip_prefix(dir).unwrap().to_owned();
        let read = outcome(fs::read_to_string("file"));
        let old_name = outcome(fs::read_to_string(dir.join("one/deep/er/file")));
        (here, read, old_name, outcome(fs::read_to_string(dir.join("two/deep/er/file"))))
    });
}

#[test]
fn a_removed_working_directory_is_empty_and_takes_nothing_new() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        fs::create_dir_all(dir.join("d/gone")).unwrap();
        std::env::set_current_dir(dir.join("d/gone")).unwrap();
        fs::remove_dir(dir.join("d/gone")).unwrap();
        let listed = fs::read_dir(".").map(Iterator::count);
        (outcome(listed), outcome(fs::write("x", "x")), outcome(std::env::current_dir().map(drop)))
    });
}

#[test]
fn names_of_any_bytes_and_of_255_bytes_work_and_longer_ones_are_refused() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        let strange = OsString::from_vec(b"\xff \n\t\"'\\*?\x01".to_vec());
        let long = OsString::from_vec(vec![b'n'; 255]);
        let too_long = OsString::from_vec(vec![b'n'; 256]);
        let results =
            [&strange, &long, &too_long].map(|name| outcome(fs::write(dir.join(name), name.as_bytes())));
        let dir_results = [&strange, &long].map(|name| outcome(fs::read(dir.join(name))));
        (results, dir_results, names(dir))
    });
}

#[test]
fn a_tree_deeper_than_a_path_may_be_long_is_built_and_walked() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        std::env::set_current_dir(dir).unwrap();
        let name = "d".repeat(200);
        for _ in 0..40 {
            fs::create_dir(&name).unwrap();
            std::env::set_current_dir(&name).unwrap();
        }
        fs::write("bottom", "reached").unwrap();
        let text = fs::read_to_string("bottom").unwrap();
        fs::remove_file("bottom").unwrap();
        for _ in 0..40 {
            std::env::set_current_dir("..").unwrap();
            fs::remove_dir(&name).unwrap();
        }
        (text, names(dir))
    });
}

#[test]
fn a_directory_of_100_000_entries_lists_each_of_them_once() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_102);
    user.mkdir(&local.join("big"));
    for i in 0..100_000 {
        File::create(local.join(format!("big/entry-{i:06}"))).unwrap();
    }
    let mount = world.mount();
    let listed: Vec<OsString> = user.run(|| {
        fs::read_dir(mount.point().join("big")).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    });
    let distinct: HashSet<&OsString> = listed.iter().collect();
    assert_eq!((listed.len(), distinct.len()), (100_000, 100_000));
}

#[test]
fn a_listing_has_dots_kinds_and_the_inode_numbers_that_stat_gives() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        use std::os::unix::fs::{DirEntryExt, MetadataExt, symlink};
        let sub = dir.join("sub");
        fs::create_dir_all(sub.join("d")).unwrap();
        fs::write(sub.join("f"), "x").unwrap();
        symlink("f", sub.join("l")).unwrap();
        nix::unistd::mkfifo(&sub.join("p"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut seen: Vec<String> = fs::read_dir(&sub)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let stat = fs::symlink_metadata(entry.path()).unwrap();
                let kind = entry.file_type().unwrap() == stat.file_type();
                format!("{:?} kind={kind} ino={}", entry.file_name(), entry.ino() == stat.ino())
            })
            .collect();
        seen.sort();
        let mut raw =
            nix::dir::Dir::open(&sub, nix::fcntl::OFlag::O_RDONLY, nix::sys::stat::Mode::empty()).unwrap();
        let dots =
            raw.iter().filter(|e| e.as_ref().unwrap().file_name().to_bytes().starts_with(b".")).count();
        (seen, dots)
    });
}

#[test]
fn the_mount_point_itself_lists_the_users_tree_and_takes_new_names() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        for name in ["bin", "lib", "etc"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        fs::write(dir.join("bin/tool"), "x").unwrap();
        let first = names(dir);
        fs::rename(dir.join("lib"), dir.join("lib64")).unwrap();
        fs::remove_dir(dir.join("etc")).unwrap();
        (first, names(dir), names(&dir.join("bin")))
    });
}

#[test]
fn entries_removed_while_a_listing_is_read_are_not_needed_to_finish_it() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        let sub = dir.join("sub");
        fs::create_dir(&sub).unwrap();
        for i in 0..2000 {
            File::create(sub.join(i.to_string())).unwrap();
        }
        for entry in fs::read_dir(&sub).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        names(&sub)
    });
}

#[test]
fn a_whole_tree_is_removed_by_rm() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_102);
    twin.same(|dir| {
        for i in 0..10 {
            for j in 0..10 {
                let below: PathBuf = dir.join(format!("t/{i}/{j}"));
                fs::create_dir_all(&below).unwrap();
                fs::write(below.join("f"), "x").unwrap();
            }
        }
        (outcome(fs::remove_dir_all(dir.join("t"))), names(dir))
    });
}
