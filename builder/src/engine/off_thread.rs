//! Work that blocks, done beside the runtime.
use super::BuildError;
use crate::sandbox::Cancel;
use crate::transfer::interrupt;

/// Does what may take long on a thread of its own, so that everything else goes on meanwhile.
///
/// When `cancel` fires first, this returns at once; `work` ends with the file it is at, and what it holds is
/// dropped on its own thread.
pub(super) async fn off_thread<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BuildError> {
    let fired = cancel.clone();
    let work = move || interrupt::while_wanted(move || fired.is_cancelled(), work);
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(BuildError::Cancelled),
        done = tokio::task::spawn_blocking(work) => done.map_err(|_| BuildError::Thread),
    }
}

/// Drops what takes long to drop, and returns when it is gone.
pub(super) async fn put_away<T: Send + 'static>(thing: T) {
    // Fails only when the runtime is going down, which drops it too.
    let _ = tokio::task::spawn_blocking(move || drop(thing)).await;
}
