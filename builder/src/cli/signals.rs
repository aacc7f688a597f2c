//! Signals that stop a build.
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sandbox::Cancel;

/// The exit code of a command that was stopped.
const CANCELLED: i32 = 130;

/// Hears SIGINT, SIGTERM and SIGHUP.
pub(super) struct Signals(Vec<Signal>);

impl Signals {
    /// Listens from now on. Must be called within the runtime.
    pub(super) fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        kinds.into_iter().map(signal).collect::<Result<_, _>>().map(Self)
    }

    /// Fires `cancel` at the first signal. At the second the process ends at once: whatever is left over
    /// then is cleared away by the next start.
    pub(super) async fn forward(mut self, cancel: Cancel) {
        self.next().await;
        tracing::warn!("stopping the build; once more to stop at once");
        cancel.cancel();
        self.next().await;
        std::process::exit(CANCELLED);
    }

    async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let ready = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}
