//! The same operations on the native file system and through the mount.
use std::env;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use crate::observe::describe_tree;
use crate::{Mount, User, World};

/// A user with two empty directories: one native, one seen through obuilderfs, both on one file system below.
///
/// With `OBUILDER_TESTS_REFERENCE` set the second is native too: so a test is proved to ask of obuilderfs
/// nothing that the native file system does not do.
#[derive(Debug)]
pub struct Twin {
    /// The user who works in both.
    pub user: User,
    /// The native directory.
    pub native: PathBuf,
    /// The mount point.
    pub mounted: PathBuf,
    /// The directory that the mount point shows.
    pub backing: PathBuf,
    mount: Option<Mount>,
    world: World,
}

impl Twin {
    /// Mounts, for user `uid`.
    pub fn new(uid: u32) -> Self {
        Self::with_groups(uid, &[])
    }

    /// Mounts, for user `uid` who is in `groups` too.
    pub fn with_groups(uid: u32, groups: &[u32]) -> Self {
        let world = World::new();
        let (user, backing) = world.resident(uid);
        let user = user.with_groups(groups);
        let native = world.scratch.path().join("native");
        user.mkdir(&native);
        let mount = env::var_os("OBUILDER_TESTS_REFERENCE").is_none().then(|| world.mount());
        let mounted = if mount.is_some() { world.point.clone() } else { backing.clone() };
        Self { user, native, mounted, backing, mount, world }
    }

    /// Its world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What obuilderfs has printed.
    pub fn log(&self) -> String {
        self.mount.as_ref().map(Mount::log).unwrap_or_default()
    }

    /// Runs `operation` as the user in the native directory, then in the mounted one; both must give the same,
    /// and leave the same tree as root sees it below.
    pub fn same<T: Debug + PartialEq + Send>(&self, operation: impl Fn(&Path) -> T + Sync) -> T {
        let native = self.user.run(|| operation(&self.native));
        let mounted = self.user.run(|| operation(&self.mounted));
        assert_eq!(mounted, native, "left: through the mount, right: natively");
        assert_eq!(
            describe_tree(&self.backing),
            describe_tree(&self.native),
            "the trees left behind; left: below the mount, right: the native one"
        );
        mounted
    }

    /// Runs `prepare` as root on the native directory and on the one below the mount.
    pub fn prepare(&self, prepare: impl Fn(&Path)) {
        prepare(&self.native);
        prepare(&self.backing);
    }
}
