//! What commands may do only for root.
use super::error::CommandError;

/// Refuses to go on unless the process is root's.
pub(super) fn require_root(what: &str) -> Result<(), CommandError> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(CommandError::environment(format!("not run as root, which {what} needs")).hint("run it with sudo"))
}
