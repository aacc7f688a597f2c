//! Results of steps, by id: each a directory that never changes once it is kept.
//!
//! A backend says how a directory is made, cloned and thrown away (`directory`); all else is the same for
//! every store: who may make what (`lock`), what is remembered (`database`), what a power failure may have
//! taken (`unsynced`), and what a killed process has left behind.
mod backend;
mod btrfs;
mod cache;
mod database;
mod directory;
pub mod doctor;
mod draft;
mod entry;
mod error;
mod in_use;
mod layout;
mod local;
mod lock;
pub mod removal;
mod system;
mod tree;
mod unsynced;
mod url;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::step::StepId;

pub use cache::Volume;
pub use entry::{Entry, Time};
pub use error::StoreError;
pub use url::{StoreUrl, UrlError};

/// Opens the store at `url`, which is made if it is not there, and clears away what killed processes left in it.
///
/// # Errors
/// The store cannot be made, read or written, or its database is damaged.
pub fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(local::LocalStore::open(url.dir(), backend(url)?)?))
}

/// The same for a store that must be there already.
///
/// # Errors
/// As [`open`], or there is none.
pub fn open_existing(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    if layout::is_store(url.dir()) { open(url) } else { Err(StoreError::NoStore { url: url.clone() }) }
}

/// What makes and removes the directories of the store at `url`.
fn backend(url: &StoreUrl) -> Result<Box<dyn backend::Backend>, StoreError> {
    Ok(match url {
        StoreUrl::Rsync(_) => Box::new(directory::Directories),
        StoreUrl::Btrfs(dir) => Box::new(btrfs::Subvolumes::for_store_in(dir)?),
    })
}

/// Where results are kept. Several processes may use one store at the same time.
pub trait Store: Send + Sync {
    /// The store's directory, for messages.
    fn dir(&self) -> &Path;

    /// The finished result `id`, if there is one. Marks it as used now; the mark is written down with the next
    /// change of the store, by [`Store::sync`], or when the store is dropped.
    ///
    /// # Errors
    /// The store cannot be read.
    fn find(&self, id: &StepId) -> Result<Option<Finished>, StoreError>;

    /// The finished result `id`, or else the right to make it: a writable clone of `base` (an empty tree
    /// without one). While somebody else makes `id`, this blocks.
    ///
    /// # Errors
    /// The store cannot be read or written, or `base` is not in it.
    fn claim(&self, id: &StepId, base: Option<&StepId>) -> Result<Claim, StoreError>;

    /// The same without waiting: `None` while somebody else makes `id`. What their step has printed so far is
    /// in [`Store::log_in_the_making`].
    ///
    /// # Errors
    /// The store cannot be read or written, or `base` is not in it.
    fn try_claim(&self, id: &StepId, base: Option<&StepId>) -> Result<Option<Claim>, StoreError>;

    /// The log of the draft of `id`, whoever makes it; gone when the draft is.
    fn log_in_the_making(&self, id: &StepId) -> PathBuf;

    /// A clone of the cache volume `name` for one step, made if there is none. Its root belongs to `owner`, user
    /// and group; what is in it to whoever made it.
    ///
    /// # Errors
    /// The store cannot be read or written.
    fn cache(&self, name: &OsStr, owner: (u32, u32)) -> Result<Box<dyn Volume>, StoreError>;

    /// The cache volumes there are, as the store calls them.
    ///
    /// # Errors
    /// The store cannot be read.
    fn caches(&self) -> Result<Vec<OsString>, StoreError>;

    /// Removes the cache volume that the store calls `name`.
    ///
    /// # Errors
    /// There is none, a step is using it, or it cannot be removed.
    fn delete_cache(&self, name: &OsStr) -> Result<(), StoreError>;

    /// Every result that is there, in the order of their ids.
    ///
    /// # Errors
    /// The store cannot be read.
    fn list(&self) -> Result<Vec<Entry>, StoreError>;

    /// Removes the result `id`; nothing happens if there is none.
    ///
    /// # Errors
    /// Other results are built on it, somebody is using it, or it cannot be removed.
    fn delete(&self, id: &StepId) -> Result<(), StoreError>;

    /// Waits until the space of the results that were deleted is free: some file systems free it later.
    ///
    /// # Errors
    /// The file system does not free it.
    fn reclaim(&self) -> Result<(), StoreError>;

    /// Writes down what was used, and waits until everything kept so far is on the device. A result that is not when the machine loses power
    /// is dropped by the next [`open`], as its files may be empty; so call this once, at the end of a build.
    /// Dropping the store does it too.
    ///
    /// # Errors
    /// The device cannot be written.
    fn sync(&self) -> Result<(), StoreError>;
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
    /// The directory that holds `rootfs/`, `log` (to be written) and `env` (there if the draft has a base).
    fn dir(&self) -> &Path;

    /// The tree.
    fn rootfs(&self) -> PathBuf {
        self.dir().join("rootfs")
    }

    /// Where to write what the step prints.
    fn log(&self) -> PathBuf {
        self.dir().join("log")
    }

    /// The base image's environment, to be written by whoever fetches a base image.
    fn env(&self) -> PathBuf {
        self.dir().join("env")
    }

    /// Keeps it under its id, for good.
    ///
    /// # Errors
    /// It could not be put in place; nothing is kept then.
    fn keep(self: Box<Self>) -> Result<Finished, StoreError>;
}

/// A finished result on disk. While it, or a clone of it, lives, nobody deletes the result.
#[derive(Debug, Clone)]
pub struct Finished {
    dir: PathBuf,
    _in_use: Arc<in_use::InUse>,
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

#[cfg(test)]
mod tests;
