//! What builders that were killed have left of their containers.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::runtime::Runtime;
use super::{PREFIX, SandboxError, bundle, prepare};

/// Clears away every container in `state` whose builder is gone. Its init ended with the builder; what may be
/// left is the runtime's record of it, its cgroup, and its directory.
pub(super) fn clear(state: &Path, runtime: &Runtime) -> Result<(), SandboxError> {
    for (name, _lock) in abandoned(state)? {
        tracing::info!("removing what a killed build left: {}", name.to_string_lossy());
        runtime.delete(&name);
        bundle::remove(&state.join(&name)).map_err(|error| failed(state, error))?;
    }
    Ok(())
}

/// What [`clear`] would remove.
pub(in super::super) fn find(state: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    Ok(abandoned(state)?.into_iter().map(|(name, _lock)| state.join(name)).collect())
}

/// Removes it, by whichever of the usual runtimes there is.
pub(in super::super) fn clear_by_any(state: &Path) -> Result<(), SandboxError> {
    if find(state)?.is_empty() {
        return Ok(());
    }
    let runtime = |name: &str| Runtime::find(Path::new(name), state);
    clear(state, &runtime("runc").or_else(|_| runtime("crun"))?)
}

/// The bundles in `state` that nobody has locked, locked.
fn abandoned(state: &Path) -> Result<Vec<(OsString, File)>, SandboxError> {
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(state, error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| failed(state, error))?.file_name();
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && let Some(lock) = bundle::lock(&state.join(&name)).map_err(|error| failed(state, error))?
        {
            found.push((name, lock));
        }
    }
    Ok(found)
}

fn failed(state: &Path, error: io::Error) -> SandboxError {
    prepare(format!("look for what was left in {}", state.display()), error)
}
