//! Runs one command in a result's tree, shut in.
use std::ffi::OsString;
use std::path::PathBuf;

/// A command to run, and what it sees.
#[derive(Debug, Clone)]
pub struct Command {
    /// The shell's words, then the command.
    pub argv: Vec<OsString>,
    /// The spec's working directory.
    pub workdir: PathBuf,
    /// Variables, in the order they are to be set.
    pub env: Vec<(OsString, OsString)>,
    /// Whether the host's network was asked for.
    pub host_network: bool,
    /// Secrets: where the step sees each, and its bytes.
    pub secrets: Vec<(PathBuf, Vec<u8>)>,
    /// The tree it runs in: the `rootfs` of a [`crate::store::Draft`].
    pub rootfs: PathBuf,
}
