//! Moves trees of files: clones of results and base images, what a `copy` step brings in, and removal.
//!
//! Everything here works on open directories and single names (`openat(2)` with `O_NOFOLLOW`), never on
//! long paths: trees of any depth are handled, and no link inside a tree can lead out of it.
pub mod clone;
pub mod copy;
mod data;
pub(crate) mod descent;
pub mod digest;
mod error;
pub(crate) mod interrupt;
pub mod remove;
pub(crate) mod rooted;
mod same;
pub mod share;
mod system;
#[cfg(test)]
pub(crate) mod trees;
pub mod unpack;

pub use error::TransferError;
pub(crate) use error::explain;

/// Lets two names change places, in one step.
///
/// # Errors
/// One of them is missing, or the file system cannot do it.
pub(crate) fn exchange(one: &std::path::Path, other: &std::path::Path) -> std::io::Result<()> {
    system::exchange(one, other)
}
