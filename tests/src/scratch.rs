//! A directory for one test, gone with everything in it when the test ends, however it ends.
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use crate::mountinfo;

/// A temporary directory that every user may enter. Mounts below it are taken down before it is removed.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one, in the system's temporary directory.
    pub fn new() -> Self {
        Self::below(&env::temp_dir())
    }

    /// A new one in `parent`: steps of a build have a `/tmp` of their own, but see the machine's `/run`.
    pub fn below(parent: &Path) -> Self {
        let made = tempfile::Builder::new().prefix("obuilder-test-").tempdir_in(parent);
        let dir = made.unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
        let path = dir.keep().canonicalize().expect("canonical path");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode of the directory");
        Self(path)
    }

    /// Its path, canonical.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the directory `name` in it, mode 0755, owned by whoever runs the test.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode of the directory");
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for mount in mountinfo::below(&self.0).iter().rev() {
            // A mount that outlived its daemon, or one that a failed test left.
            let _ = umount2(mount.mount_point.as_path(), MntFlags::MNT_DETACH);
        }
        if let Err(e) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: not removed: {e}", self.0.display());
        }
    }
}
