//! What the user sees of a build.
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::BuildError;

/// The build's log: lines of ours, and the raw output of steps between them.
///
/// No newline is added to output that lacks one, so that it is shown as it was. Writing may block, and then
/// holds up whatever else runs on the same thread: a scheduler gives each build a buffer or a channel.
pub struct Log {
    out: Box<dyn Write + Send>,
}

impl Log {
    /// A log that goes to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out) }
    }

    /// A line of ours; the newline is added.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&mut self, line: &[u8]) -> Result<(), BuildError> {
        let mut whole = line.to_vec();
        whole.push(b'\n');
        self.output(&whole)
    }

    /// A piece of a step's output.
    pub(super) fn output(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(BuildError::Output)
    }

    /// The stored output of a step. A result without a log printed nothing.
    pub(super) fn replay(&mut self, path: &Path) -> Result<(), BuildError> {
        let failed = |error| BuildError::Io { path: path.to_owned(), error };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let mut buffer = [0; 16 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => self.output(&buffer[..n])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}
