//! A request to stop, seen by everyone who waits for it.
use std::sync::Arc;

use tokio::sync::watch;

/// Starts unfired and fires once. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// Fires.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has fired.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it has fired.
    pub async fn cancelled(&self) {
        // `self` keeps the sender, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|fired| *fired).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_before_or_after_is_told() {
        let cancel = Cancel::default();
        assert!(!cancel.is_cancelled());
        tokio::join!(cancel.cancelled(), async { cancel.clone().cancel() });
        cancel.cancelled().await;
        assert!(cancel.is_cancelled());
    }
}
