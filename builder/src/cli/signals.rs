//! Signals that stop a build.
#![allow(unsafe_code)]
use std::io;
use std::mem::MaybeUninit;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::sandbox::Cancel;

/// The exit code of a command that was stopped.
const CANCELLED: i32 = 130;

/// Fires `cancel` at the first SIGINT, SIGTERM or SIGHUP. At the second the process ends at once: whatever is
/// left over then is cleared away by the next start.
///
/// They are waited for on a thread of its own, which hears them whatever the build is busy with: it may be
/// writing to a pipe that nobody reads. To be called before any other thread is started, as those block the
/// signals too then. One that is ignored stays so, as nohup(1) wants it.
pub(super) fn cancel_on_signals(cancel: &Cancel) -> io::Result<()> {
    let stopping = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let signals: SigSet = stopping.into_iter().filter(|&signal| !is_ignored(signal)).collect();
    signals.thread_block()?;
    let cancel = cancel.clone();
    let waiting = move || {
        if signals.wait().is_err() {
            return;
        }
        tracing::warn!("stopping the build; once more to stop at once");
        cancel.cancel();
        if signals.wait().is_ok() {
            std::process::exit(CANCELLED);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(waiting).map(drop)
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null pointer for the new action this only fills in `action`, which is of the right type.
    let asked = unsafe { libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the call has filled it in; if it failed it is still zeroed, which is valid too.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}
