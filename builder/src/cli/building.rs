//! Runs a build to its end, or until a signal stops it.
use std::io;
use std::time::Duration;

use super::error::CommandError;
use super::signals;
use crate::engine::{Builder, Log, Order};
use crate::sandbox::Cancel;
use crate::step::StepId;

/// How long a cancelled build may take to put away what it was making.
const CLEARING: Duration = Duration::from_secs(10);

/// Builds `order`, shown on standard output.
pub(super) fn run(builder: &Builder, order: &Order) -> Result<(), CommandError> {
    let mut log = Log::new(io::stdout());
    let id = build(builder, order, &mut log)?;
    log.line(format!("Got: \"{id}\"").as_bytes())?;
    Ok(())
}

/// Builds `order`, shown in `log`.
pub(super) fn build(builder: &Builder, order: &Order, log: &mut Log) -> Result<StepId, CommandError> {
    Ok(until_stopped(async |cancel| builder.build(order, log, cancel).await)??)
}

/// Does `work`, which a signal tells to stop.
pub(super) fn until_stopped<T>(work: impl AsyncFnOnce(&Cancel) -> T) -> Result<T, CommandError> {
    let failed = |what: &str, error: io::Error| CommandError::environment(format!("cannot {what}: {error}"));
    let cancel = Cancel::default();
    signals::cancel_on_signals(&cancel).map_err(|error| failed("listen for signals", error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed("start the runtime", error))?;
    let done = runtime.block_on(work(&cancel));
    if cancel.is_cancelled() {
        runtime.shutdown_timeout(CLEARING);
    } else {
        runtime.shutdown_background();
    }
    Ok(done)
}
