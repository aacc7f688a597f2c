//! What builders that were killed have left of their containers.
use std::fs;
use std::io;
use std::path::Path;

use super::runtime::Runtime;
use super::{PREFIX, SandboxError, bundle, prepare};

/// Clears away every container in `state` whose builder is gone. Its init ended with the builder; what may be
/// left is the runtime's record of it, its cgroup, and its directory.
pub(super) fn clear(state: &Path, runtime: &Runtime) -> Result<(), SandboxError> {
    let failed = |error: io::Error| prepare(format!("look for what was left in {}", state.display()), error);
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && let Some(_lock) = bundle::lock(&state.join(&name)).map_err(failed)?
        {
            tracing::info!("removing what a killed build left: {}", name.to_string_lossy());
            runtime.delete(&name);
            bundle::remove(&state.join(&name)).map_err(failed)?;
        }
    }
    Ok(())
}
