//! Which stages a `copy` may name: earlier ones of the same spec, or of a spec around it.
use std::ffi::{OsStr, OsString};

use super::error::SpecError;
use super::nearest::nearest;
use super::printer::quoted_text;
use std::os::unix::ffi::OsStrExt;

/// The names of the stages that were read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope(Vec<OsString>);

impl Scope {
    /// Adds a stage. A later one hides an earlier one of the same name.
    pub(super) fn add(&mut self, name: &OsStr) {
        self.0.push(name.to_owned());
    }

    /// Checks that `name`, which stands at `at`, is a stage.
    pub(super) fn find(&self, at: usize, name: &OsStr) -> Result<(), SpecError> {
        if self.0.iter().any(|known| known == name) {
            return Ok(());
        }
        let error = SpecError::at(at, format!("unknown build {}", quoted_text(name.as_bytes())));
        let known: Vec<_> = self.0.iter().map(|name| name.to_string_lossy()).collect();
        Err(match nearest(&name.to_string_lossy(), known.iter().map(AsRef::as_ref)) {
            Some(meant) => error.hint(format!("did you mean \"{meant}\"?")),
            None if known.is_empty() => error.hint("there is no (build …) before it"),
            None => error.hint(format!("known are {}", known.join(", "))),
        })
    }
}
