//! The directory a step writes to that is no part of its result: its `/tmp` and `/var/tmp`.
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::SandboxError;
use crate::transfer::remove::remove_tree;

/// A link to the scoreboard.
const SCOREBOARD: &str = "scoreboard";

/// A fresh directory, removed with all that is in it when dropped. Only root may enter it, but what is bound
/// out of it is open to the step.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `dir/uid`. One uid runs one step at a time, so what is there already was left by a builder that
    /// was killed, and is removed.
    pub(super) fn make(dir: &Path, uid: u32) -> Result<Self, SandboxError> {
        let scratch = Self { path: Self::left_over_path(dir, uid) };
        remove_tree(&scratch.path).map_err(|e| scratch.error("remove", &e))?;
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(&scratch.path).map_err(|e| scratch.error("make", &e))?;
        for name in ["tmp", "var-tmp"] {
            let path = scratch.path.join(name);
            let open = fs::create_dir(&path)
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o1777)));
            open.map_err(|e| scratch.error("make", &e))?;
        }
        Ok(scratch)
    }

    /// The uids that have one in `dir`, in use or left over.
    pub(super) fn uids_in(dir: &Path) -> Result<Vec<u32>, SandboxError> {
        match fs::read_dir(dir) {
            Ok(entries) => {
                let names = entries.flatten().map(|entry| entry.file_name());
                Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(SandboxError::Prepare {
                what: format!("read {}", dir.display()),
                reason: error.to_string(),
            }),
        }
    }

    /// Takes over what was left in `dir` of a step of `uid`: it is removed when this is dropped.
    pub(super) fn left_over(dir: &Path, uid: u32) -> Self {
        Self { path: Self::left_over_path(dir, uid) }
    }

    /// Where that is.
    pub(super) fn left_over_path(dir: &Path, uid: u32) -> PathBuf {
        dir.join(uid.to_string())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down which scoreboard has the user's link, for who clears up after a killed builder.
    pub(super) fn note_scoreboard(&self, scoreboard: &Path) -> Result<(), SandboxError> {
        let note = self.path.join(SCOREBOARD);
        std::os::unix::fs::symlink(scoreboard, note).map_err(|e| self.error("write to", &e))
    }

    /// What was noted of the one left in `dir` of a step of `uid`.
    pub(super) fn noted_scoreboard(dir: &Path, uid: u32) -> Option<PathBuf> {
        fs::read_link(Self::left_over_path(dir, uid).join(SCOREBOARD)).ok()
    }

    fn error(&self, verb: &str, error: &dyn std::error::Error) -> SandboxError {
        SandboxError::Prepare { what: format!("{verb} {}", self.path.display()), reason: error.to_string() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_builder_left_is_not_seen_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let debris = dir.path().join("state/705/tmp/debris");
        fs::create_dir_all(&debris).unwrap();
        fs::set_permissions(&debris, Permissions::from_mode(0o000)).unwrap();
        let scratch = Scratch::make(&dir.path().join("state"), 705).unwrap();
        let mode =
            |name: &str| fs::metadata(scratch.path().join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(""), mode("tmp"), mode("var-tmp")), (0o700, 0o1777, 0o1777));
        assert!(!debris.exists());
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }
}
