//! A tree while somebody reads it.
use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

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

/// A tree that is there to be read while this lives: of a result, or of a base image. Some stores show it only as
/// long.
pub struct Tree {
    path: PathBuf,
    // Goes before what is shown may be deleted: fields go in this order.
    _shown: Guard,
    _held: Guard,
}

impl Tree {
    /// That at `path`, which nobody deletes while `held` lives.
    pub(super) fn new(path: PathBuf, shown: Guard, held: impl Any + Send + Sync) -> Self {
        Self { path, _shown: shown, _held: Guard::new(held) }
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
