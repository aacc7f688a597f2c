//! Signals that stop a build.
#![allow(unsafe_code)]
use std::io;
use std::mem::MaybeUninit;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sandbox::Cancel;

/// The exit code of a command that was stopped.
const CANCELLED: i32 = 130;

/// Fires `cancel` at the first SIGINT, SIGTERM or SIGHUP. At the second the process ends at once: whatever is
/// left over then is cleared away by the next start.
///
/// They are waited for on a thread of its own, which hears them whatever the build is busy with: it may be
/// writing to a pipe that nobody reads. They are caught and not blocked, as a blocked one would be so in every
/// step too. One that is ignored stays so, as nohup(1) wants it.
pub(super) fn cancel_on_signals(cancel: &Cancel) -> io::Result<()> {
    let (ready, listening) = mpsc::channel();
    let cancel = cancel.clone();
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let (runtime, mut signals) = match runtime.and_then(|runtime| Ok((listen(&runtime)?, runtime))) {
            Ok((signals, runtime)) => (runtime, signals),
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        runtime.block_on(next(&mut signals));
        tracing::warn!("stopping the build; once more to stop at once");
        cancel.cancel();
        runtime.block_on(next(&mut signals));
        std::process::exit(CANCELLED);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    listening.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

fn listen(runtime: &tokio::runtime::Runtime) -> io::Result<Vec<Signal>> {
    let _inside = runtime.enter();
    let stopping = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    stopping.into_iter().filter(|&kind| !is_ignored(kind)).map(signal).collect()
}

/// Waits for one of them.
async fn next(signals: &mut [Signal]) {
    std::future::poll_fn(|cx| {
        let heard = signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
        if heard { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn is_ignored(kind: SignalKind) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null pointer for the new action this only fills in `action`, which is of the right type.
    let asked = unsafe { libc::sigaction(kind.as_raw_value(), std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the call has filled it in; if it failed it is still zeroed, which is valid too.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}
