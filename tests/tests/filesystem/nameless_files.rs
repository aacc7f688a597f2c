//! Files made without a name (`O_TMPFILE`), what may be done with them, and the name they may get.
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use obuilder_tests::memory::{Mapping, Sharing};
use obuilder_tests::observe::{describe, outcome};
use obuilder_tests::{Twin, nameless};

use crate::can_mount;

/// Number of names, mode and length.
fn facts(file: &File) -> (u64, u32, u64) {
    let meta = file.metadata().unwrap();
    (meta.nlink(), meta.mode(), meta.len())
}

/// In the mount's root and below it.
fn in_both(dir: &Path) -> [std::path::PathBuf; 2] {
    fs::create_dir_all(dir.join("below")).unwrap();
    [dir.to_owned(), dir.join("below")]
}

#[test]
fn a_file_without_a_name_is_written_read_and_mapped_and_leaves_nothing() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_131);
    twin.same(|dir| {
        in_both(dir).map(|dir| {
            let mut file = nameless::create(&dir, 0o666).unwrap();
            file.write_all(&[b'a'; 10_000]).unwrap();
            let mut mapping = Mapping::new(&file, NonZeroUsize::new(4096).unwrap(), Sharing::Shared).unwrap();
            mapping.set(3, b'm');
            let mut text = String::new();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_string(&mut text).unwrap();
            let cut = outcome(file.set_len(5));
            let mode = outcome(file.set_permissions(fs::Permissions::from_mode(0o640)));
            let entries = fs::read_dir(&dir).unwrap().count();
            (text, cut, mode, facts(&file), entries)
        })
    });
}

#[test]
fn linked_it_is_a_file_like_any_other() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_131);
    twin.same(|dir| {
        in_both(dir).map(|dir| {
            let (name, second, moved) = (dir.join("name"), dir.join("second"), dir.join("moved"));
            let mut file = nameless::create(&dir, 0o666).unwrap();
            file.write_all(b"before").unwrap();
            let missing = outcome(fs::metadata(&name).map(drop));
            let linked = outcome(nameless::link(&file, &name));
            file.write_all(b" after").unwrap();
            let found = (describe(&name), facts(&file));
            let again = outcome(nameless::link(&file, &name));
            let two = (outcome(nameless::link(&file, &second)), facts(&file));
            let same = fs::metadata(&name).unwrap().ino() == file.metadata().unwrap().ino();
            fs::rename(&name, &moved).unwrap();
            fs::remove_file(&second).unwrap();
            let one = facts(&file);
            OpenOptions::new().append(true).open(&moved).unwrap().write_all(b" more").unwrap();
            let last = describe(&moved);
            fs::remove_file(&moved).unwrap();
            // Nameless again, and this time for good.
            (
                missing,
                linked,
                found,
                again,
                two,
                same,
                one,
                last,
                facts(&file),
                outcome(nameless::link(&file, &name)),
            )
        })
    });
}

#[test]
fn made_in_one_directory_it_is_linked_in_another() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_131);
    twin.same(|dir| {
        let [root, below] = in_both(dir);
        let up = outcome(nameless::link(&nameless::create(&below, 0o600).unwrap(), &root.join("up")));
        let down = outcome(nameless::link(&nameless::create(&root, 0o600).unwrap(), &below.join("down")));
        (up, down, describe(&root.join("up")), describe(&below.join("down")))
    });
}

#[test]
fn opened_exclusively_it_never_gets_a_name() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_131);
    let linked = twin.same(|dir| {
        in_both(dir).map(|dir| {
            let file = nameless::create_with(&dir, 0o666, libc::O_EXCL).unwrap();
            outcome(nameless::link(&file, &dir.join("name")))
        })
    });
    assert_eq!(linked, ["ENOENT", "ENOENT"]);
}

#[test]
fn where_it_may_not_be_made_the_error_is_the_native_one() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_131);
    twin.prepare(|dir| {
        fs::create_dir(dir.join("roots")).unwrap();
        fs::write(dir.join("file"), "x").unwrap();
    });
    twin.same(|dir| {
        let made =
            |name: &str, flags| outcome(nameless::create_with(&dir.join(name), 0o600, flags).map(drop));
        let mut read_only = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut read_only, libc::O_TMPFILE);
        let read_only = outcome(read_only.read(true).open(dir).map(drop));
        (made("roots", 0), made("file", 0), made("none", 0), made(".", libc::O_CREAT), read_only)
    });
}

#[test]
fn many_of_them_leave_no_descriptor_behind_once_they_have_names() {
    if !can_mount() {
        return;
    }
    let world = obuilder_tests::World::new();
    let (user, _local) = world.resident(41_131);
    let mount = world.mount();
    let dir = mount.point().join("d");
    let held = || fs::read_dir(format!("/proc/{}/fd", mount.id())).unwrap().count();
    user.run(|| {
        fs::create_dir(&dir).unwrap();
        for n in 0..6000 {
            nameless::link(&nameless::create(&dir, 0o600).unwrap(), &dir.join(n.to_string())).unwrap();
        }
    });
    // What was used of late keeps one, 4096 at the most.
    assert!(held() < 4096 + 200, "{} descriptors", held());
}
