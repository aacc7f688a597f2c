//! Base images: where `(from NAME)` comes from.
mod compression;
pub(crate) mod docker;
pub mod environment;
mod home;
mod images;
mod oci;
mod stoppable;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitStatus;

pub use home::HomeTemplates;
pub(crate) use home::{LOCAL, PROFILE};
pub use images::Images;

use crate::sandbox::{Cancel, Status};
use crate::spec::printer::quoted_words;
use crate::store::StoreError;
use crate::transfer::TransferError;
use environment::Environment;

/// A source of base images.
pub trait Fetch: Send + Sync {
    /// Brings the image and returns the variables it has. It may take long and blocks; to be called from a
    /// thread that may, of a tokio runtime.
    ///
    /// # Errors
    /// There is no such image, it cannot be used or copied, or it was cancelled.
    fn fetch(&self, request: Request) -> Result<Environment, FetchError>;
}

/// An image that is wanted.
#[derive(Debug)]
pub struct Request {
    /// The image's name.
    pub name: OsString,
    /// The empty directory to put it into.
    pub rootfs: PathBuf,
    /// Whom it is to belong to, where the image itself does not tell.
    pub owner: (u32, u32),
    /// Takes what programs that help say meanwhile; closed when this is dropped.
    pub output: OwnedFd,
    /// Stops it.
    pub cancel: Cancel,
}

/// Why a base image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Its name is not the name of a directory.
    #[error("base image {0:?}: a name must not be empty, \".\" or \"..\", or hold a \"/\"")]
    Name(String),
    /// There is no such directory.
    #[error(
        "base image {name:?} not found: there is no directory {}; make one with {} in it, or name another \
         place with --base-images=DIR, or begin with (from empty)",
        .dir.display(), home::PROFILE
    )]
    Missing {
        /// The image's name.
        name: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The directory is not a base image.
    #[error("{} is not a base image: {} {what}", .dir.display(), .part.display())]
    NotAnImage {
        /// The directory.
        dir: PathBuf,
        /// What in it is wrong.
        part: PathBuf,
        /// How it is wrong.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[error("base image: {}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The store that it lies in cannot show it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be cloned.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The docker client failed; what it said is in the log.
    #[error("{} failed with {}", quoted_words(.argv), shown_status(*.status))]
    Docker {
        /// Its command.
        argv: Vec<OsString>,
        /// How it ended.
        status: ExitStatus,
    },
    /// The docker client could not be started, or not be listened to.
    #[error("cannot run {}: {error}; install the docker client, or begin with a place, as (from /path/to/rootfs)", quoted_words(.argv))]
    NoDocker {
        /// Its command.
        argv: Vec<OsString>,
        /// Why.
        error: io::Error,
    },
    /// A place that is not said from the root on.
    #[error("base image {name:?}: a place must be an absolute path, that is, begin with '/'")]
    Relative {
        /// As it was named.
        name: OsString,
    },
    /// The files of an image are not those of one.
    #[error("cannot use the image {}: {why}", .path.display())]
    Image {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An image has a variable that is not one.
    #[error("Invalid environment in base image {name:?}: {pair:?} should be K=V")]
    Variable {
        /// The image.
        name: OsString,
        /// What it has.
        pair: OsString,
    },
    /// A thread of ours died.
    #[error("a thread of the builder ended unexpectedly; this is a bug")]
    Thread,
    /// It was stopped on request.
    #[error("cancelled")]
    Cancelled,
}

fn shown_status(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => Status::Exited(code).to_string(),
        None => status.to_string(),
    }
}
