//! Work that blocks, done beside the runtime.
use super::BuildError;
use crate::sandbox::Cancel;

/// Does what may take long on a thread of its own, so that everything else goes on meanwhile.
///
/// What `work` holds is dropped on its own thread when `cancel` fires first.
pub(super) async fn off_thread<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BuildError> {
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
