//! Base images on this machine: made aside and put in place whole, in versions, of which one is meant by the name.
//!
//! An image is a home directory with a profile ([`crate::fetch`]). Version 2026-11 of the image `brew` is
//! `brew@2026-11/home`, in a directory that only root may enter; `brew` is a link to the version that `(from brew)`
//! means. A home that is called `brew` itself is an image without versions; the next one made turns it into a version.
pub mod archive;
mod error;
pub mod import;
pub mod layout;
mod lock;
mod name;
pub mod script;
mod shelf;
mod summary;

pub use error::ImageError;
pub(crate) use lock::hold;
pub use name::ImageName;
pub use shelf::{Draft, Image, Shelf};
pub use summary::{Summary, summary, summary_at};
