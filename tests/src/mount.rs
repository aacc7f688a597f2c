//! A running obuilderfs.
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;

use crate::process::{self, LIMIT};
use crate::{binary, mountinfo};

/// `obuilderfs -f` as a child of the test, mounted and answering. Dropping it ends the child, which unmounts.
#[derive(Debug)]
pub struct Mount {
    child: Child,
    point: PathBuf,
    log: PathBuf,
}

impl Mount {
    /// Starts `obuilderfs -f OPTIONS… SCOREBOARD POINT [FALLBACK]` and waits for the mount to appear. What the
    /// child prints goes to the file `log`, shown when the test fails.
    pub fn start(
        options: &[&str],
        scoreboard: &Path,
        point: &Path,
        fallback: Option<&Path>,
        log: &Path,
    ) -> Self {
        let child = Command::new(binary::obuilderfs())
            .arg("-f")
            .args(options)
            .args([Some(scoreboard), Some(point), fallback].into_iter().flatten())
            .stdin(Stdio::null())
            .stdout(File::create(log).expect("log of obuilderfs"))
            .stderr(File::options().append(true).open(log).expect("log of obuilderfs"))
            .spawn()
            .expect("start obuilderfs");
        let mut mount = Self { child, point: point.to_owned(), log: log.to_owned() };
        mount.await_ready();
        mount
    }

    fn await_ready(&mut self) {
        let ended = process::pidfd(self.child.id()).expect("pidfd of obuilderfs");
        let ready = mountinfo::wait_until(Some(ended.as_fd()), LIMIT, || {
            answers(&self.point) || self.child.try_wait().is_ok_and(|status| status.is_some())
        });
        assert!(
            ready && answers(&self.point),
            "obuilderfs did not mount at {}: {}",
            self.point.display(),
            self.log()
        );
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// The process that serves it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends it `signal` and waits for its end.
    pub fn stop(mut self, signal: Signal) -> ExitStatus {
        let status = process::stop(&mut self.child, signal);
        self.tell_why(status)
    }

    /// Waits for it to end by itself, as after `umount`.
    pub fn wait(mut self) -> ExitStatus {
        assert!(process::wait_for_end(self.child.id(), LIMIT), "obuilderfs goes on without its mount");
        let status = self.child.wait().expect("status of obuilderfs");
        self.tell_why(status)
    }

    fn tell_why(&self, status: ExitStatus) -> ExitStatus {
        if !status.success() {
            eprintln!("--- obuilderfs ended with {status} and printed:\n{}", self.log());
        }
        status
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = process::send(self.child.id(), Signal::SIGTERM);
            if !process::wait_for_end(self.child.id(), LIMIT) {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- obuilderfs printed:\n{}", self.log());
        }
    }
}

/// Whether the topmost mount at `point` is an obuilderfs whose daemon answers. It is in the table before the
/// kernel and the daemon have agreed on terms: this waits until they have.
///
/// A dead one may be cleared away in between: what it covered answers too.
fn answers(point: &Path) -> bool {
    use nix::sys::statfs::{FUSE_SUPER_MAGIC, statfs};
    is_ours(point) && statfs(point).is_ok_and(|found| found.filesystem_type() == FUSE_SUPER_MAGIC)
}

/// Whether the topmost mount at `point` is an obuilderfs.
pub fn is_ours(point: &Path) -> bool {
    mountinfo::at(point).is_some_and(|mount| mount.fs_type == "fuse.obuilderfs")
}
