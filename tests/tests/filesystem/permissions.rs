//! Who may do what: several users in one shared fallback, compared with the same tree natively.
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use obuilder_tests::observe::{describe_tree, outcome};
use obuilder_tests::{Mount, User, World};

use crate::can_mount;

const OWNER: u32 = 41_120;
const MEMBER: u32 = 41_121;
const BY_SUPPLEMENT: u32 = 41_122;
const STRANGER: u32 = 41_123;
const GROUP: u32 = 41_129;

/// The owner, one whose group is the files', one who is in it besides his own, a stranger, and root.
fn users() -> Vec<User> {
    vec![
        User::new(OWNER),
        User { uid: MEMBER, gid: GROUP, groups: vec![] },
        User::new(BY_SUPPLEMENT).with_groups(&[7, GROUP]),
        User::new(STRANGER).with_groups(&[7]),
        User::new(0),
    ]
}

/// The fallback, seen through a mount by users none of whom has a link, and its native twin.
struct Shared {
    _mount: Mount,
    world: World,
}

impl Shared {
    fn new(prepare: impl Fn(&Path)) -> Self {
        let world = World::new();
        let native = world.scratch.dir("native");
        for dir in [&world.fallback, &native] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
            prepare(dir);
        }
        Self { _mount: world.mount(), world }
    }

    /// Each user does `operation` natively, then through the mount; what it gives and leaves must be the same.
    fn same_for_all(&self, operation: impl Fn(&User, &Path) -> Vec<String> + Sync) {
        let native = self.world.scratch.path().join("native");
        for user in users() {
            let expected = user.run(|| operation(&user, &native));
            let found = user.run(|| operation(&user, &self.world.point));
            assert_eq!(found, expected, "{user:?}; left: through the mount, right: natively");
        }
        assert_eq!(describe_tree(&self.world.fallback), describe_tree(&native));
    }
}

fn make(path: &Path, dir: bool, mode: u32) {
    if dir {
        fs::create_dir(path).unwrap();
        fs::write(path.join("inside"), "inside").unwrap();
        fs::set_permissions(path.join("inside"), fs::Permissions::from_mode(0o666)).unwrap();
    } else {
        fs::write(path, "#!/bin/sh\n").unwrap();
    }
    chown(path, Some(OWNER), Some(GROUP)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// One bit for each class of user, and the usual combinations.
const MODES: [u32; 16] = [
    0o000, 0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o700, 0o750, 0o755, 0o770, 0o707,
    0o077,
];

#[test]
fn files_of_every_mode_open_for_those_natively_allowed() {
    if !can_mount() {
        return;
    }
    let shared = Shared::new(|dir| {
        for mode in MODES {
            make(&dir.join(format!("file-{mode:03o}")), false, mode);
        }
    });
    shared.same_for_all(|_, dir| {
        let of = |mode: u32| {
            let path = dir.join(format!("file-{mode:03o}"));
            let read = outcome(fs::read(&path).map(|bytes| bytes.len()));
            let append = outcome(fs::OpenOptions::new().append(true).open(&path).map(drop));
            let execute = outcome(std::process::Command::new(&path).status().map(|status| status.code()));
            format!("{mode:03o} read: {read} append: {append} run: {execute} access: {}", access(&path))
        };
        MODES.map(of).to_vec()
    });
}

fn access(path: &Path) -> String {
    use nix::fcntl::{AT_FDCWD, AtFlags};
    use nix::unistd::{AccessFlags, faccessat};
    [AccessFlags::F_OK, AccessFlags::R_OK, AccessFlags::W_OK, AccessFlags::X_OK]
        .map(|flag| match faccessat(AT_FDCWD, path, flag, AtFlags::AT_EACCESS) {
            Ok(()) => '1',
            Err(_) => '0',
        })
        .iter()
        .collect()
}

#[test]
fn directories_of_every_mode_list_enter_and_change_for_those_natively_allowed() {
    if !can_mount() {
        return;
    }
    let shared = Shared::new(|dir| {
        for mode in MODES {
            make(&dir.join(format!("dir-{mode:03o}")), true, mode);
        }
    });
    shared.same_for_all(|user, dir| {
        let of = |mode: u32| {
            let path = dir.join(format!("dir-{mode:03o}"));
            let mine = path.join(format!("by-{}", user.uid));
            [
                format!("{mode:03o} {}", access(&path)),
                outcome(fs::read_dir(&path).map(|list| list.count() > 0)),
                outcome(fs::read(path.join("inside"))),
                outcome(fs::metadata(path.join("inside")).map(|meta| meta.len())),
                outcome(fs::write(&mine, "x")),
                outcome(fs::create_dir(mine.with_extension("d"))),
                outcome(std::os::unix::fs::symlink("x", mine.with_extension("l"))),
                outcome(fs::hard_link(path.join("inside"), mine.with_extension("h"))),
                outcome(fs::rename(&mine, mine.with_extension("r"))),
                outcome(fs::remove_file(mine.with_extension("r"))),
                outcome(fs::remove_dir(mine.with_extension("d"))),
                outcome(fs::set_permissions(&path, fs::Permissions::from_mode(mode))),
            ]
            .join(" ")
        };
        MODES.map(of).to_vec()
    });
}

#[test]
fn a_sticky_directory_protects_what_others_made() {
    if !can_mount() {
        return;
    }
    let shared = Shared::new(|dir| {
        make(&dir.join("tmp"), true, 0o1777);
        for (name, owner) in [("of-owner", OWNER), ("of-member", MEMBER), ("of-root", 0)] {
            let path = dir.join("tmp").join(name);
            fs::write(&path, name).unwrap();
            chown(&path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
    });
    shared.same_for_all(|user, dir| {
        let tmp = dir.join("tmp");
        let own = tmp.join(format!("new-{}", user.uid));
        fs::write(&own, "x").unwrap();
        let mut seen = Vec::new();
        for name in ["of-owner", "of-member", "of-root", "inside"] {
            // Moved away and back, so that the next user finds it again.
            seen.push(outcome(fs::rename(tmp.join(name), tmp.join("moved"))));
            let _ = fs::rename(tmp.join("moved"), tmp.join(name));
        }
        seen.push(outcome(fs::rename(&own, tmp.join("of-root"))));
        seen.push(outcome(
            fs::remove_file(tmp.join("of-member")).and_then(|()| fs::write(tmp.join("of-member"), "x")),
        ));
        let _ = fs::remove_file(&own);
        seen
    });
}

#[test]
fn set_gid_directories_hand_their_group_to_every_user() {
    if !can_mount() {
        return;
    }
    let shared = Shared::new(|dir| make(&dir.join("team"), true, 0o2777));
    shared.same_for_all(|user, dir| {
        let name = dir.join("team").join(user.uid.to_string());
        vec![
            outcome(fs::create_dir(&name)),
            outcome(fs::write(name.join("file"), "x")),
            outcome(fs::write(name.with_extension("f"), "x")),
        ]
    });
}

#[test]
fn a_new_file_in_the_shared_tree_belongs_to_whoever_made_it() {
    if !can_mount() {
        return;
    }
    let shared = Shared::new(|dir| make(&dir.join("open"), true, 0o777));
    shared.same_for_all(|user, dir| {
        let name = dir.join("open").join(user.uid.to_string());
        vec![outcome(fs::write(&name, "x")), obuilder_tests::observe::describe(&name)]
    });
}
