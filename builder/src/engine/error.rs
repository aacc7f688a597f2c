//! Why a build did not end with a result.
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::fetch::FetchError;
use crate::sandbox::{SandboxError, Status};
use crate::spec::SpecError;
use crate::spec::printer::{quoted_text, quoted_words};
use crate::step::manifest::ManifestError;
use crate::step::{CopyError, MissingSecret};
use crate::store::StoreError;
use crate::transfer::TransferError;

/// Why a build did not end with a result.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The command of a step failed.
    #[error("{} failed with {status}", quoted_words(.argv))]
    Failed {
        /// The command.
        argv: Vec<OsString>,
        /// How it ended.
        status: Status,
    },
    /// A secret was not given.
    #[error(transparent)]
    MissingSecret(#[from] MissingSecret),
    /// A source of a `copy` cannot be copied.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A `copy` makes no sense.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A source of a `copy` holds the store itself, which every build changes.
    #[error("cannot copy {}: the store {} is in it; name what is wanted of it, or put the store elsewhere", quoted_text(.source_path.as_bytes()), .store.display())]
    StoreInSource {
        /// The source as the spec names it.
        source_path: OsString,
        /// The store.
        store: PathBuf,
    },
    /// A network mode other than `host`.
    #[error("Unsupported network configuration [{}]", quoted_words(.0))]
    Network(Vec<OsString>),
    /// A stage whose result vanished from the store while the build went on.
    #[error("the result of stage {} is no longer in the store; run the build again", quoted_text(.0.as_bytes()))]
    StageLost(OsString),
    /// The base image is not there or not usable.
    #[error(transparent)]
    Fetch(FetchError),
    /// Files could not be moved.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(SandboxError),
    /// A file of a result could not be read or written.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A result's saved environment is not one.
    #[error("{}: not a saved environment: {error}; delete the result it belongs to", .path.display())]
    Environment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<SpecError>,
    },
    /// The log could not be written to where the user sees it.
    #[error("cannot write the build's log to standard output: {0}")]
    Output(io::Error),
    /// What a running step prints cannot be read back.
    #[error("cannot read the log of the running step: {0}")]
    LiveLog(io::Error),
    /// It befell a job that others wanted too.
    #[error(transparent)]
    Shared(Arc<BuildError>),
    /// A thread of ours died.
    #[error("a thread of the builder ended unexpectedly; this is a bug")]
    Thread,
    /// It was stopped on request.
    #[error("cancelled")]
    Cancelled,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The build's: the spec, its command or its sources.
    Build,
    /// The machine's: store, users, file systems.
    Machine,
    /// Nobody's: it was stopped.
    Cancelled,
}

impl BuildError {
    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cancelled => Kind::Cancelled,
            Self::Shared(error) => error.kind(),
            Self::Sandbox(SandboxError::Unusable { .. }) => Kind::Build,
            Self::Transfer(TransferError::Io { .. })
            | Self::Manifest(ManifestError::Io { .. })
            | Self::Fetch(
                FetchError::Io { .. }
                | FetchError::Transfer(_)
                | FetchError::NoDocker { .. }
                | FetchError::Thread,
            )
            | Self::Store(_)
            | Self::StageLost(_)
            | Self::Sandbox(_)
            | Self::Io { .. }
            | Self::Environment { .. }
            | Self::Output(_)
            | Self::LiveLog(_)
            | Self::Thread => Kind::Machine,
            Self::Failed { .. }
            | Self::MissingSecret(_)
            | Self::Manifest(_)
            | Self::Copy(_)
            | Self::StoreInSource { .. }
            | Self::Network(_)
            | Self::Fetch(_)
            | Self::Transfer(_) => Kind::Build,
        }
    }
}

impl From<FetchError> for BuildError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Cancelled => Self::Cancelled,
            error => Self::Fetch(error),
        }
    }
}

impl From<SandboxError> for BuildError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Cancelled => Self::Cancelled,
            error => Self::Sandbox(error),
        }
    }
}
