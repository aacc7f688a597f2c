//! File systems that a test mounts itself.
use std::path::PathBuf;

use nix::mount::{MntFlags, umount2};

/// Takes the uppermost mount there away, also when the test fails.
#[derive(Debug)]
pub struct Unmount(pub PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
