//! The tree of a result while somebody reads it.
use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::in_use::InUse;

/// Keeps shown what is not there by itself; dropping it ends that.
#[derive(Default)]
pub(super) struct Guard {
    _shown: Option<Box<dyn Any + Send + Sync>>,
}

impl Guard {
    /// `shown` is what ends it when it is dropped.
    pub(super) fn new(shown: impl Any + Send + Sync) -> Self {
        Self { _shown: Some(Box::new(shown)) }
    }
}

/// The tree of a result, which is there to be read while this lives. Some stores show it only as long.
pub struct Tree {
    path: PathBuf,
    // Goes before the result may be deleted: fields go in this order.
    _shown: Guard,
    _in_use: std::sync::Arc<InUse>,
}

impl Tree {
    pub(super) fn new(path: PathBuf, shown: Guard, in_use: std::sync::Arc<InUse>) -> Self {
        Self { path, _shown: shown, _in_use: in_use }
    }
}

impl Deref for Tree {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Tree {
    fn as_ref(&self) -> &Path {
        self
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}
