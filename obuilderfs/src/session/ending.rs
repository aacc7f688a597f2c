//! What ends a mount: signals, and the end of whoever started it.
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use tracing::{info, warn};

use super::MOUNT_TYPE;
use crate::platform::{self, Guard};

/// Keeps the signals that end a mount from every thread, for one thread to wait for.
pub(super) fn block_ending_signals() -> Result<SigSet, Errno> {
    let mut ends = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        ends.add(signal);
    }
    ends.thread_block()?;
    Ok(ends)
}

/// The mounts of this process and who looks after them should it be killed.
#[derive(Debug)]
pub(super) struct Ending {
    mountpoints: Vec<PathBuf>,
    guard: Option<Guard>,
}

impl Ending {
    /// Of mounts that are there. Call it before any other thread is started.
    pub(super) fn of(mountpoints: Vec<PathBuf>) -> Arc<Self> {
        let guard = Guard::watch(&mountpoints).inspect_err(|e| {
            warn!("no guard, a killed daemon may leave its users waiting until umount -f: {e}");
        });
        Arc::new(Self { mountpoints, guard: guard.ok() })
    }

    /// Takes the mounts away and ends the process, and with it the connections: nobody may wait for answers
    /// that will not come. Nothing is lost, for every write is with the file system below when it is answered.
    fn end(&self) {
        self.detach();
        std::process::exit(0);
    }

    /// Takes the mounts away, the last one first, where they are still ours, and sends the guard home.
    pub(super) fn detach(&self) {
        detach(&self.mountpoints);
        self.dismiss_guard();
    }

    /// Ends the connections and the guard: there is nothing left to look after.
    pub(super) fn dismiss_guard(&self) {
        self.guard.iter().for_each(Guard::dismiss);
    }
}

pub(super) fn end_on_signal(ends: SigSet, ending: &Arc<Ending>) -> io::Result<()> {
    let ending = Arc::clone(ending);
    spawn("signals", move || {
        let signal = ends.wait();
        info!(?signal, "ending");
        ending.end();
    })
}

pub(super) fn end_on_eof(lifeline: Option<OwnedFd>, ending: &Arc<Ending>) -> io::Result<()> {
    let Some(lifeline) = lifeline else { return Ok(()) };
    let ending = Arc::clone(ending);
    spawn("lifeline", move || {
        let mut lifeline = fs::File::from(lifeline);
        let mut buffer = [0; 64];
        while matches!(lifeline.read(&mut buffer), Ok(1..)) {}
        info!("lifeline closed, ending");
        ending.end();
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Takes the mounts away, the last one first, where they are still ours.
pub(super) fn detach(mountpoints: &[PathBuf]) {
    let ours = |at: &&PathBuf| platform::mounted_at(at).is_some_and(|mounted| mounted.kind == MOUNT_TYPE);
    for mountpoint in mountpoints.iter().rev().filter(ours) {
        match platform::detach(mountpoint) {
            // Not mounted: somebody was faster.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(e) => warn!(mountpoint = %mountpoint.display(), "cannot be unmounted: {}", e.desc()),
        }
    }
}
