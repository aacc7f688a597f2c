//! What killed builders left of their steps in a store's `state/sandbox`, whatever the sandbox they ran in.
//!
//! A sandbox clears away what its own kind left when it is next used; this looks at all kinds.
use std::path::{Path, PathBuf};

use super::user::leftovers;
use super::{SandboxError, platform};
use crate::host::Host;

/// Directories in `state` of steps that no builder is running any more.
///
/// # Errors
/// They cannot be listed.
pub fn find(host: &dyn Host, state: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    let mut found = leftovers::find(host, state)?;
    found.extend(platform::containers_left_over(state)?);
    found.sort();
    Ok(found)
}

/// Removes them, with processes that go on in them and, if given, links on the scoreboard.
///
/// # Errors
/// Something cannot be removed.
pub fn clear(host: &dyn Host, state: &Path, scoreboard: Option<&Path>) -> Result<(), SandboxError> {
    leftovers::clear(host, state, scoreboard)?;
    platform::clear_containers(state)
}
