//! Where the programs of ZFS are, and how they reach the mounts they make.
use std::path::{Path, PathBuf};

use crate::store::system;

/// Where they may be; OpenZFS on macOS has its own place.
const PLACES: &[&str] = &["/usr/local/zfs/bin", "/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];

/// Where the daemon of zfs-fuse listens.
const SOCKET: &str = "/var/run/zfs/zfs_socket";

/// The words with which each begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) zfs: Vec<String>,
    pub(super) zpool: Vec<String>,
}

impl Programs {
    /// Those of this machine.
    ///
    /// OpenZFS mounts in the mount namespace of the process that asks. zfs-fuse mounts in that of its daemon, and
    /// its programs unmount in their own: so they have to run there.
    pub(super) fn here() -> Self {
        let outside = if is_fuse() { system::namespace_of(Path::new(SOCKET)) } else { None };
        let enter = outside.map(|namespace| {
            vec!["nsenter".to_owned(), format!("--mount={}", namespace.display()), "--".to_owned()]
        });
        let program = |name: &str| {
            let mut words = enter.clone().unwrap_or_default();
            words.push(place(name).display().to_string());
            words
        };
        Self { zfs: program("zfs"), zpool: program("zpool") }
    }
}

/// Whether the mounts of datasets are the same for all processes, whatever their namespace.
pub(super) fn is_fuse() -> bool {
    !Path::new("/dev/zfs").exists() && Path::new(SOCKET).exists()
}

fn place(name: &str) -> PathBuf {
    let places = PLACES.iter().map(|dir| Path::new(dir).join(name));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into())
}
