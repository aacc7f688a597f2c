//! What an operation finds under the name it works on.
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::users::{GROUP, MEMBER, OWNER};

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Missing,
    /// A regular file of the owner's, with that mode.
    File(u32),
    RootsFile,
    /// The member's, writable by nobody else.
    MembersFile,
    /// One more name of the file `other`, which is made too.
    HardLinked,
    EmptyDir(u32),
    FullDir(u32),
    ToFile,
    ToDir,
    Dangling,
    Loop,
    Fifo,
    Socket,
    Device,
}

use State::*;

pub(crate) const ALL: [State; 20] = [
    Missing,
    File(0o644),
    File(0o600),
    File(0o444),
    File(0o664),
    File(0o666),
    File(0o6777),
    File(0o2764),
    RootsFile,
    MembersFile,
    HardLinked,
    EmptyDir(0o755),
    EmptyDir(0o2775),
    FullDir(0o1777),
    ToFile,
    ToDir,
    Dangling,
    Loop,
    Fifo,
    Device,
];

/// Those that matter to a second name.
pub(crate) const TARGETS: [State; 8] =
    [Missing, File(0o644), MembersFile, EmptyDir(0o755), FullDir(0o755), ToDir, Dangling, Socket];

fn own(path: &Path, uid: u32, gid: u32) {
    lchown(path, Some(uid), Some(gid)).unwrap();
}

impl State {
    /// Makes it as `path`, the way root would, natively.
    pub(crate) fn make(self, path: &Path) {
        let beside = |name: &str| path.with_file_name(name);
        match self {
            Missing => {}
            File(mode) => file(path, (OWNER, GROUP), mode),
            RootsFile => file(path, (0, 0), 0o644),
            MembersFile => file(path, (MEMBER, MEMBER), 0o644),
            HardLinked => {
                file(path, (OWNER, GROUP), 0o644);
                fs::hard_link(path, beside("other")).unwrap();
            }
            EmptyDir(mode) => dir(path, mode),
            FullDir(mode) => {
                dir(path, mode);
                file(&path.join("inside"), (MEMBER, GROUP), 0o644);
                fs::create_dir(path.join("deeper")).unwrap();
            }
            ToFile => {
                file(&beside("target"), (OWNER, GROUP), 0o644);
                symlink("target", path).unwrap();
            }
            ToDir => {
                dir(&beside("target-dir"), 0o755);
                symlink("target-dir", path).unwrap();
            }
            Dangling => symlink("nowhere", path).unwrap(),
            Loop => symlink(path.file_name().unwrap(), path).unwrap(),
            Fifo => mknod(path, SFlag::S_IFIFO, Mode::from_bits_truncate(0o644), 0).unwrap(),
            Socket => mknod(path, SFlag::S_IFSOCK, Mode::from_bits_truncate(0o644), 0).unwrap(),
            Device => {
                mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
            }
        }
        if matches!(self, ToFile | ToDir | Dangling | Loop | Fifo | Socket) {
            own(path, OWNER, GROUP);
        }
    }
}

fn file(path: &Path, (uid, gid): (u32, u32), mode: u32) {
    fs::write(path, "content").unwrap();
    chown(path, Some(uid), Some(gid)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn dir(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    chown(path, Some(OWNER), Some(GROUP)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The directory a case is played in: its owner, group and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Parent {
    pub(crate) const OPEN: Self = Self(0, 0, 0o777);
    pub(crate) const STICKY: Self = Self(0, 0, 0o1777);
    /// The owner's, and its group may search it only.
    pub(crate) const OWNED: Self = Self(OWNER, GROUP, 0o710);
    pub(crate) const SET_GID: Self = Self(OWNER, GROUP, 0o2775);
    pub(crate) const STICKY_SET_GID: Self = Self(MEMBER, GROUP, 0o3777);
    /// The group is denied what all others may do.
    pub(crate) const GROUP_DENIED: Self = Self(OWNER, GROUP, 0o707);

    pub(crate) const ALL: [Self; 6] =
        [Self::OPEN, Self::STICKY, Self::OWNED, Self::SET_GID, Self::STICKY_SET_GID, Self::GROUP_DENIED];

    pub(crate) fn make(self, path: &Path) {
        fs::create_dir(path).unwrap();
        chown(path, Some(self.0), Some(self.1)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(self.2)).unwrap();
    }
}
