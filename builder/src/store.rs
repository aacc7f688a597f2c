//! Results of steps, by id: each a directory that never changes once it is kept.
//!
//! A backend says how a directory is made, cloned and thrown away (`directory`); all else is the same for
//! every store: who may make what (`lock`), what is remembered (`database`), what a power failure may have
//! taken (`unsynced`), and what a killed process has left behind.
pub mod auto;
mod backend;
mod btrfs;
mod cache;
pub mod copying;
mod database;
mod deletion;
mod directory;
pub mod doctor;
mod draft;
mod entry;
mod error;
mod in_use;
mod kind;
mod layout;
mod local;
mod lock;
mod overlayfs;
mod recovery;
pub mod removal;
mod system;
mod tree;
mod unsynced;
mod url;
pub mod verify;
mod zfs;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::step::StepId;

pub use cache::Volume;
pub use directory::Sharing;
pub use entry::{Entry, Time};
pub use error::StoreError;
pub use tree::Tree;
pub use url::{StoreUrl, UrlError};

/// Opens the store at `url`, which is made if it is not there, and clears away what killed processes left in it.
///
/// # Errors
/// The store cannot be made, read or written, or its database is damaged.
pub fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    open_sharing(url, None)
}

/// The same, where results share files with what they were made from as `sharing` says, in a store of the kind rsync.
///
/// # Errors
/// As [`open`], or the store is of another kind.
pub fn open_sharing(url: &StoreUrl, sharing: Option<Sharing>) -> Result<Arc<dyn Store>, StoreError> {
    let url = auto::choose(url)?.url;
    let backend = match (sharing, &url) {
        (None, _) => backend(&url)?,
        (Some(sharing), StoreUrl::Rsync(_)) => {
            kind::check(&url)?;
            Arc::new(directory::Directories::sharing(sharing))
        }
        (Some(_), _) => return Err(StoreError::NotRsync { url }),
    };
    let store = local::LocalStore::open(url.dir(), backend)?;
    kind::mark(&url)?;
    Ok(Arc::new(store))
}

/// The same for a store that must be there already.
///
/// # Errors
/// As [`open`], or there is none.
pub fn open_existing(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    match backend(url)?.is_store(url.dir())? {
        true => open(url),
        false => Err(StoreError::NoStore { url: url.clone() }),
    }
}

/// What makes and removes the directories of the store at `url`.
fn backend(url: &StoreUrl) -> Result<Arc<dyn backend::Backend>, StoreError> {
    kind::check(url)?;
    Ok(match url {
        StoreUrl::Rsync(_) => Arc::new(directory::Directories::default()),
        StoreUrl::Btrfs(dir) => Arc::new(btrfs::Subvolumes::for_store_in(dir)?),
        StoreUrl::Xfs(dir) => Arc::new(directory::Directories::with_reflinks(dir)?),
        StoreUrl::Overlayfs(dir) => Arc::new(overlayfs::Layers::for_store_in(dir)?),
        StoreUrl::Auto(_) => return backend(&auto::choose(url)?.url),
        StoreUrl::Zfs { pool, dir } => Arc::new(zfs::Datasets::of(pool, dir)),
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

    /// The same without marking it.
    ///
    /// # Errors
    /// The store cannot be read.
    fn peek(&self, id: &StepId) -> Result<Option<Finished>, StoreError>;

    /// Gives the result that `entry` is about, which is there, the times in it: it was made elsewhere.
    ///
    /// # Errors
    /// The database cannot be written.
    fn stamp(&self, entry: &Entry) -> Result<(), StoreError>;

    /// Whether drafts are shown only to processes that share the builder's mounts.
    fn mounts_drafts(&self) -> bool;

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

    /// The name of the cache volume that the store calls `name`.
    fn cache_title(&self, name: &OsStr) -> OsString;

    /// Removes the cache volume that the store calls `name`.
    ///
    /// # Errors
    /// There is none, a step is using it, or it cannot be removed.
    fn delete_cache(&self, name: &OsStr) -> Result<(), StoreError>;

    /// The names of the base images that lie in the store, in `base-image`, as those of OBuilder's Mac workers do.
    ///
    /// # Errors
    /// The store cannot be read.
    fn base_images(&self) -> Result<Vec<OsString>, StoreError>;

    /// The directory of the base image `name` that lies in the store, if there is one, to be read as long as what is
    /// returned lives.
    ///
    /// # Errors
    /// It cannot be shown.
    fn base_image(&self, name: &OsStr) -> Result<Option<Tree>, StoreError>;

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

    /// How much of what holds the store is free for its owner, in per cent.
    ///
    /// # Errors
    /// That cannot be learnt.
    fn free(&self) -> Result<f64, StoreError>;

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
    /// The directory that holds the tree.
    fn dir(&self) -> &Path;

    /// The tree.
    fn rootfs(&self) -> PathBuf {
        self.dir().join("rootfs")
    }

    /// Where to write what the step prints.
    fn log(&self) -> PathBuf;

    /// The base image's environment, to be written by whoever fetches a base image; there if the draft has a
    /// base.
    fn env(&self) -> PathBuf;

    /// Keeps it under its id, for good.
    ///
    /// # Errors
    /// It could not be put in place; nothing is kept then.
    fn keep(self: Box<Self>) -> Result<Finished, StoreError>;
}

/// A finished result on disk. While it, or a clone of it, lives, nobody deletes the result.
#[derive(Clone)]
pub struct Finished {
    dir: PathBuf,
    backend: Arc<dyn backend::Backend>,
    in_use: Arc<in_use::InUse>,
}

impl Finished {
    /// The tree, to be read as long as what is returned lives.
    ///
    /// # Errors
    /// It cannot be shown.
    pub fn tree(&self) -> Result<Tree, StoreError> {
        let (path, shown) = self.backend.show(&self.dir)?;
        Ok(Tree::new(path, shown, Arc::clone(&self.in_use)))
    }

    /// What the step printed.
    pub fn log(&self) -> PathBuf {
        self.backend.files(&self.dir).join("log")
    }

    /// The base image's environment: `((env ((PATH /bin))))`.
    pub fn env(&self) -> PathBuf {
        self.backend.files(&self.dir).join("env")
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Finished").field(&self.dir).finish()
    }
}

#[cfg(test)]
mod tests;
