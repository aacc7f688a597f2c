//! Base images: where `(from NAME)` comes from.
pub mod environment;
mod home;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

pub use home::HomeTemplates;

use crate::sandbox::Cancel;
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
    /// It could not be cloned.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// It was stopped on request.
    #[error("cancelled")]
    Cancelled,
}
