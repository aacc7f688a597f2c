//! A mount namespace of the builder's own.
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::host::HostError;

/// Gives the process a mount namespace of its own: what it mounts nobody else sees, and it goes when the
/// process and its children are gone. Call it before any thread is started, for it moves only the calling one.
///
/// Mounts and unmounts of the machine still come in (slave), so that a disk can be taken away under a running
/// builder; and what the builder mounts and unmounts reaches its steps' namespaces (shared), so that a
/// neighbour's step never keeps a file system busy.
///
/// # Errors
/// The process is not root.
pub fn enter_private_mount_namespace() -> Result<(), HostError> {
    let refused = |what| move |errno: nix::Error| HostError::NotPermitted { what, source: errno.into() };
    unshare(CloneFlags::CLONE_NEWNS).map_err(refused("cannot make a mount namespace"))?;
    for kind in [MsFlags::MS_SLAVE, MsFlags::MS_SHARED] {
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | kind, None::<&str>)
            .map_err(refused("cannot shut the mount namespace in"))?;
    }
    Ok(())
}
