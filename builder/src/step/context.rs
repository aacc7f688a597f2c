//! What the operations of a stage set for those after them.
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::StepId;
use super::input::{CopyInput, RunInput, Secret};
use super::manifest::Manifest;
use crate::spec::{Run, User};

/// Working directory, user, shell and variables of the next step, and the stages it may copy from.
#[derive(Debug, Clone)]
pub struct Context {
    /// Variables, newest first, then the base image's.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory, as the spec's parts joined; never normalised.
    pub workdir: OsString,
    /// The spec's user.
    pub user: User,
    /// The words before a `run`'s command.
    pub shell: Vec<OsString>,
    /// Results of the stages in scope, by name.
    pub scope: HashMap<OsString, StepId>,
}

/// A secret the spec asks for and nobody gave.
#[derive(Debug, thiserror::Error)]
#[error("Couldn't find value for requested secret '{}'", .0.to_string_lossy())]
pub struct MissingSecret(pub OsString);

impl Default for Context {
    fn default() -> Self {
        Self {
            env: Vec::new(),
            workdir: "/".into(),
            user: User::default(),
            shell: ["/usr/bin/env", "bash", "-c"].map(OsString::from).to_vec(),
            scope: HashMap::new(),
        }
    }
}

impl Context {
    /// `(workdir DIR)`.
    pub fn set_workdir(&mut self, dir: &OsStr) {
        self.workdir = self.joined(dir);
    }

    /// `(env NAME VALUE)`: in front, and in place of the last value of that name.
    pub fn set_env(&mut self, name: &OsString, value: &OsString) {
        if let Some(old) = self.env.iter().position(|(n, _)| n == name) {
            self.env.remove(old);
        }
        self.env.insert(0, (name.clone(), value.clone()));
    }

    /// The `run` step `run` from `base`, with the secrets' values.
    ///
    /// # Errors
    /// A secret has no value.
    pub fn run(
        &self,
        base: StepId,
        run: &Run,
        secrets: &[(OsString, Vec<u8>)],
    ) -> Result<RunInput, MissingSecret> {
        let value =
            |id: &OsString| secrets.iter().find(|(name, _)| name == id).map(|(_, value)| value.clone());
        let secrets = run.secrets.iter().map(|secret| {
            let value = value(&secret.id).ok_or_else(|| MissingSecret(secret.id.clone()))?;
            Ok(Secret { value, target: secret.target.clone() })
        });
        Ok(RunInput {
            base,
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            env: self.env.clone(),
            cmd: run.shell.clone(),
            shell: self.shell.clone(),
            network: run.network.clone(),
            secrets: secrets.collect::<Result<_, _>>()?,
            cache: run.cache.clone(),
        })
    }

    /// The `copy` step that brings `items` to `dst`, from `base`.
    pub fn copy(&self, base: StepId, items: Vec<Manifest>, dst: &OsStr) -> CopyInput {
        CopyInput { base, user: self.user.clone(), items, dst: self.joined(dst) }
    }

    /// `path` seen from the working directory; nothing is normalised.
    fn joined(&self, path: &OsStr) -> OsString {
        if path.as_bytes().starts_with(b"/") {
            return path.to_owned();
        }
        let mut joined = self.workdir.as_bytes().to_vec();
        if !joined.ends_with(b"/") {
            joined.push(b'/');
        }
        joined.extend_from_slice(path.as_bytes());
        OsString::from_vec(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_joined_and_never_normalised() {
        let mut context = Context::default();
        for (dir, workdir) in [
            ("", "/"),
            ("a/", "/a/"),
            ("b", "/a/b"),
            ("../up", "/a/b/../up"),
            ("./", "/a/b/../up/./"),
            ("", "/a/b/../up/./"),
            ("/", "/"),
        ] {
            context.set_workdir(OsStr::new(dir));
            assert_eq!(context.workdir, workdir);
        }
    }

    #[test]
    fn the_newest_variable_comes_first_and_replaces_only_its_own_name() {
        let mut context = Context { env: vec![("PATH".into(), "/bin".into())], ..Context::default() };
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3"), ("PATH", "/x")] {
            context.set_env(&name.into(), &value.into());
        }
        let env: Vec<_> =
            context.env.iter().map(|(n, v)| format!("{}={}", n.display(), v.display())).collect();
        assert_eq!(env, ["PATH=/x", "A=3", "B=2"]);
    }
}
