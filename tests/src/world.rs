//! A scoreboard, homes, a fallback and a mount point, in one scratch directory.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::{Mount, Scratch, User};

/// Everything an obuilderfs needs, owned by root, in a scratch directory of its own.
#[derive(Debug)]
pub struct World {
    /// The scratch directory it all lies in.
    pub scratch: Scratch,
    /// Links from uids to homes.
    pub scoreboard: PathBuf,
    /// Where to mount.
    pub point: PathBuf,
    /// What a uid without a link sees: root's, mode 0755.
    pub fallback: PathBuf,
}

impl World {
    /// An empty world, nothing mounted.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let (scoreboard, point, fallback) =
            (scratch.dir("scoreboard"), scratch.dir("mnt"), scratch.dir("fallback"));
        Self { scratch, scoreboard, point, fallback }
    }

    /// A home of `user`'s with an empty `local`, not yet published.
    pub fn home(&self, name: &str, user: &User) -> PathBuf {
        let home = self.scratch.dir("homes").join(name);
        user.mkdir(&home);
        user.mkdir(&home.join("local"));
        home
    }

    /// Makes `home` what `uid` sees, in the way of `ln -sfn`: a new link renamed over the old one.
    pub fn publish(&self, uid: u32, home: &Path) {
        let new = self.scoreboard.join(format!(".new-{uid}"));
        symlink(home, &new).unwrap_or_else(|e| panic!("{}: {e}", new.display()));
        fs::rename(&new, self.scoreboard.join(uid.to_string())).expect("rename of the link");
    }

    /// Takes the link of `uid` away.
    pub fn retract(&self, uid: u32) {
        fs::remove_file(self.scoreboard.join(uid.to_string())).expect("the link was there");
    }

    /// User `uid`, with a home of that name published. Returns the user and the home's `local`.
    pub fn resident(&self, uid: u32) -> (User, PathBuf) {
        let user = User::new(uid);
        let home = self.home(&uid.to_string(), &user);
        self.publish(uid, &home);
        (user, home.join("local"))
    }

    /// Mounts with `options` and the fallback.
    pub fn mount_with(&self, options: &[&str]) -> Mount {
        let log = self.scratch.path().join("obuilderfs.log");
        Mount::start(options, &self.scoreboard, &self.point, Some(&self.fallback), &log)
    }

    /// Mounts with the fallback and nothing else.
    pub fn mount(&self) -> Mount {
        self.mount_with(&[])
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
