//! Why something with an image could not be done.
use std::io;
use std::path::{Path, PathBuf};

use super::ImageName;
use crate::fetch::FetchError;
use crate::host::HostError;
use crate::sandbox::{SandboxError, Status};
use crate::transfer::{TransferError, explain};

/// Why something with an image could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not a name.
    #[error("{name:?} is no image: {why}")]
    Name {
        /// As given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is none of that name.
    #[error("there is no image {name} in {}; 'obuilder image list' shows those there are", .dir.display())]
    Missing {
        /// The image.
        name: ImageName,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A version is made once.
    #[error(
        "the image {0} is there already; give another version with --version=VERSION, or remove it first"
    )]
    Exists(ImageName),
    /// Somebody is using it.
    #[error("the image {0} is in use by a build; try again when that is done")]
    InUse(ImageName),
    /// It is what the name means.
    #[error(
        "the image {0} is what (from {name}) means; let it mean another version first, with 'obuilder image use', or \
         remove them all with 'obuilder image rm {name}'", name = .0.name
    )]
    Current(ImageName),
    /// It is somebody's home.
    #[error("{} is the home of the user {user}; remove the user first: cleanup.sh {user}", .dir.display())]
    Home {
        /// The image.
        dir: PathBuf,
        /// Whose home it is.
        user: String,
    },
    /// Something that is no image has the name.
    #[error("{} is no base image, and in the way; move it away, or give the image another name", .0.display())]
    InTheWay(PathBuf),
    /// The script ended with a failure.
    #[error("{} failed with {status}; nothing was changed", .script.display())]
    Script {
        /// The script.
        script: PathBuf,
        /// How it ended.
        status: Status,
    },
    /// The script has left no image.
    #[error("{} has left no base image: {what}; nothing was changed", .script.display())]
    NoImage {
        /// The script.
        script: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// Something is there where a file is to be written.
    #[error("{} is there already; name a file that is not, or remove it", .0.display())]
    Occupied(PathBuf),
    /// A file could not be read or written.
    #[error("cannot {what} {}: {}", .path.display(), explain(.source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tree could not be cloned, unpacked or removed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The image it is to be made from could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The script could not be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The machine did not do what it was asked.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl ImageError {
    /// To be given what the system said.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
