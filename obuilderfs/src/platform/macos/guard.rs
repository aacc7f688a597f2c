//! No guard is needed: macFUSE is told nothing for which one of our threads would have to wait for a lock, so a
//! killed daemon ends at once, and the end of its descriptor ends the connection.
use std::io;
use std::path::PathBuf;

/// Nothing.
#[derive(Debug)]
pub(crate) struct Guard;

impl Guard {
    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub(crate) fn watch(_mountpoints: &[PathBuf]) -> io::Result<Self> {
        Ok(Self)
    }

    /// Does nothing.
    pub(crate) fn dismiss(&self) {}
}
