//! Base images: where `(from NAME)` comes from.
pub mod environment;
mod home;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

pub use home::HomeTemplates;

use crate::transfer::TransferError;
use environment::Environment;

/// A source of base images.
pub trait Fetch: Send + Sync {
    /// Puts the image `name` into the empty directory `rootfs`, for the user and group `owner`, and returns
    /// the variables it brings.
    ///
    /// # Errors
    /// There is no such image, or it cannot be used or copied.
    fn fetch(&self, name: &OsStr, rootfs: &Path, owner: (u32, u32)) -> Result<Environment, FetchError>;
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
}
