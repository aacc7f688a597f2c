//! There are no mount namespaces here.
use std::ffi::OsString;
use std::path::PathBuf;

/// What to run where, as whom.
#[derive(Debug)]
pub(crate) struct Entering {
    pub(crate) mountpoint: PathBuf,
    pub(crate) uid: u32,
    pub(crate) command: Vec<OsString>,
}

/// Why a private view cannot be entered.
#[derive(Debug, thiserror::Error)]
#[error("private views need mount namespaces, which macOS has not; run '{command}' as uid {uid}: it sees its own {}", mountpoint.display())]
pub(crate) struct EnterError {
    mountpoint: PathBuf,
    uid: u32,
    command: String,
}

/// # Errors
/// Always.
pub(crate) fn enter(entering: &Entering) -> Result<u8, EnterError> {
    let words: Vec<_> = entering.command.iter().map(|word| word.to_string_lossy()).collect();
    let (mountpoint, uid) = (entering.mountpoint.clone(), entering.uid);
    Err(EnterError { mountpoint, uid, command: words.join(" ") })
}
