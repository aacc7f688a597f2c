//! Why a store could not do what it was asked, in words for the person at the terminal.
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::StoreUrl;
use crate::step::StepId;
use crate::transfer::{TransferError, explain};

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call failed on `path`.
    #[error("cannot {action} {}: {}", .path.display(), explain(.source))]
    Io {
        /// What was tried: a verb, and its object where the path alone does not tell it.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tree could not be cloned or removed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The database could not be read or written.
    #[error("cannot use the database {}: {}", .path.display(), explain_database(.source))]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// There is nothing to work on.
    #[error("there is no store in {}; give the one that builds use, with --store={}:DIR", .url.dir().display(), .url.kind())]
    NoStore {
        /// Where it was looked for.
        url: StoreUrl,
    },
    /// The store is said to be of subvolumes, which there are not.
    #[error("the store {0} is not on a btrfs file system; give a directory that is, or use --store=rsync:{0}", .url.dir().display())]
    NotBtrfs {
        /// Its address.
        url: StoreUrl,
    },
    /// The store is said to be of files that share blocks, which they cannot.
    #[error("the file system of the store {0} does not share blocks between files; use --store=auto:{0}, or a directory on XFS, btrfs or another file system with reflinks", .dir.display())]
    NoReflinks {
        /// The store.
        dir: PathBuf,
    },
    /// The store is said to be of layers, which cannot be mounted.
    #[error("overlayfs cannot be used in {}: {why}; use --store=rsync:{}", .dir.display(), .dir.display())]
    NoOverlay {
        /// The store.
        dir: PathBuf,
        /// What stands against it.
        why: String,
    },
    /// A result stands on a layer that is not there.
    #[error("the result {} stands on {}, which is not there; delete it, and what was made from it, with obuilder delete", .result.display(), .layer.display())]
    MissingLayer {
        /// The result.
        result: PathBuf,
        /// The layer.
        layer: PathBuf,
    },
    /// A result stands on a layer that is not the one it was made on.
    #[error("the result {} stands on {}, which was made anew since; delete it, and what was made from it, with obuilder delete", .result.display(), .layer.display())]
    OtherLayer {
        /// The result.
        result: PathBuf,
        /// The layer.
        layer: PathBuf,
    },
    /// There is a store of another kind.
    #[error("the store {} is of the kind {kind}; use --store={kind}:{}, or move its results to a store elsewhere with obuilder store copy", .url.dir().display(), .url.dir().display())]
    OtherKind {
        /// What it was taken for.
        url: StoreUrl,
        /// Its kind.
        kind: String,
    },
    /// There is a store of a kind that only another version knows.
    #[error("the store {} is of the kind {kind}, which this version of obuilder does not know", .dir.display())]
    UnknownKind {
        /// The store.
        dir: PathBuf,
        /// Its kind.
        kind: String,
    },
    /// There is a store that a newer version has changed.
    #[error("the store {} was made by a newer version of obuilder (its format is {format}, the newest known here {known}); use that version", .dir.display())]
    Newer {
        /// The store.
        dir: PathBuf,
        /// Its format.
        format: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// A result was named that is not there.
    #[error("the store {} has no result {id}", .dir.display())]
    NoResult {
        /// The store.
        dir: PathBuf,
        /// The result.
        id: StepId,
    },
    /// A store was to be copied to itself.
    #[error("{} is one store; name another to copy to", .dir.display())]
    SameStore {
        /// The store.
        dir: PathBuf,
    },
    /// Hard links are asked for in a store that has no use for them.
    #[error("--rsync-mode is only for stores of the kind rsync, not for {url}")]
    NotRsync {
        /// The store.
        url: StoreUrl,
    },
    /// ZFS refused something.
    #[error("cannot {action} {dataset}: {why}")]
    Zfs {
        /// What was tried.
        action: &'static str,
        /// The pool, dataset or snapshot.
        dataset: String,
        /// Why not, and what to do.
        why: String,
    },
    /// Anybody could put a result of his own there.
    #[error("the store {0} can be written by others (mode {mode:04o}); run: chmod go-w {0}", .dir.display())]
    WritableByOthers {
        /// The store.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A step is to be built on a result that is not there.
    #[error("the store {} has no result {id} to build on", .dir.display())]
    UnknownBase {
        /// The store.
        dir: PathBuf,
        /// The result that is missing.
        id: StepId,
    },
    /// A result cannot be removed as others were made from it.
    #[error("cannot delete {id}: {children} other result{} built on it; delete {} first", if *.children == 1 { " is" } else { "s are" }, if *.children == 1 { "that" } else { "those" })]
    HasChildren {
        /// The result.
        id: StepId,
        /// How many others.
        children: i64,
    },
    /// A result cannot be removed as a build needs it just now.
    #[error("cannot delete {id}: a build is using it; try again when it is done")]
    InUse {
        /// The result.
        id: StepId,
    },
    /// A cache volume cannot be removed as a step works on a clone of it just now.
    #[error("cannot delete the cache {}: a build is using it; try again when it is done", .name.display())]
    CacheInUse {
        /// As the store calls it.
        name: OsString,
    },
}

impl StoreError {
    /// Whether there is no room left on the device.
    pub(super) fn is_full_device(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Transfer(TransferError::Io { source, .. }) => {
                source.raw_os_error() == Some(libc::ENOSPC)
            }
            Self::Database { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            _ => false,
        }
    }

    pub(super) fn io(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source: source.into() }
    }
}

fn explain_database(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, PermissionDenied, ReadOnly,
    };
    if let rusqlite::Error::SqlInputError { msg, .. } = error {
        let what = "its table is not that of a store";
        return format!("{what} ({msg}); move it away, and it is made anew from the results");
    }
    let known = match error.sqlite_error_code() {
        Some(DiskFull) => "no space left on the device that holds it",
        Some(ReadOnly | PermissionDenied | CannotOpen) => "it cannot be opened for writing",
        Some(DatabaseBusy) => "another process has kept it locked for a minute",
        Some(DatabaseCorrupt | NotADatabase) => {
            "it is damaged; obuilder doctor --repair makes it anew from the results"
        }
        _ => return error.to_string(),
    };
    known.to_owned()
}
