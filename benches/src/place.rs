//! Where things are measured.
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use obuilder_tests::mountinfo;

/// Runs `code` where `view` is bound over `over`, in a mount namespace that ends with it.
pub(crate) fn in_namespace(view: &Path, over: &Path, code: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("mount namespace");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .expect("private mounts");
            bind(view, over);
            code();
        });
    });
}

/// Shows `from` at `at` too, in this namespace.
pub(crate) fn bind(from: &Path, at: &Path) {
    mount(Some(from), at, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind");
}

/// `bindfs`, the file system that passes one directory through for everyone.
pub(crate) struct Bindfs {
    child: Child,
    point: std::path::PathBuf,
}

impl Bindfs {
    /// Mounts `from` on `point`; `None` if the program is not there.
    pub(crate) fn mount(from: &Path, point: &Path) -> Option<Self> {
        let mut command = Command::new("bindfs");
        command.args(["-f", "--multithreaded", "-o", "allow_other"]).arg(from).arg(point);
        let child = command.stdin(Stdio::null()).spawn().ok()?;
        let mounted = mountinfo::wait_until(None, obuilder_tests::process::LIMIT, || {
            mountinfo::at(point).is_some_and(|mount| mount.fs_type.starts_with("fuse"))
        });
        assert!(mounted, "bindfs does not mount");
        Some(Self { child, point: point.to_owned() })
    }
}

impl Drop for Bindfs {
    fn drop(&mut self) {
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        let _ = self.child.wait();
    }
}
