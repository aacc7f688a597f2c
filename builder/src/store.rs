//! Results of steps, by id: each a directory that never changes once it is kept.
use std::path::{Path, PathBuf};

use crate::step::StepId;

/// Where results are kept. Several processes may use one store at the same time.
pub trait Store: Send + Sync {
    /// The store's directory, for messages.
    fn dir(&self) -> &Path;

    /// The finished result `id`, if there is one. Marks it as used now.
    ///
    /// # Errors
    /// The store cannot be read.
    fn find(&self, id: &StepId) -> Result<Option<Finished>, StoreError>;

    /// The finished result `id`, or else the right to make it: a writable clone of `base` (an empty tree
    /// without one). While another process makes `id`, this waits for it.
    ///
    /// # Errors
    /// The store cannot be read or written, or `base` is not in it.
    fn claim(&self, id: &StepId, base: Option<&StepId>) -> Result<Claim, StoreError>;
}

/// What [`Store::claim`] found.
pub enum Claim {
    /// Somebody made it already.
    Cached(Finished),
    /// It is the caller's to make.
    Build(Box<dyn Draft>),
}

/// A result in the making. Dropping it throws it away.
pub trait Draft: Send {
    /// The directory that holds `rootfs/`, `log` and `env`.
    fn dir(&self) -> &Path;

    /// Keeps it under its id, for good.
    ///
    /// # Errors
    /// It could not be put in place; nothing is kept then.
    fn keep(self: Box<Self>) -> Result<Finished, StoreError>;
}

/// A finished result on disk.
#[derive(Debug, Clone)]
pub struct Finished {
    dir: PathBuf,
}

impl Finished {
    /// The tree.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// What the step printed.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The base image's environment: `((env ((PATH /bin))))`.
    pub fn env(&self) -> PathBuf {
        self.dir.join("env")
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {}
