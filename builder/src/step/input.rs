//! All that a step's result depends on, and the id that follows.
//!
//! The bytes that are hashed are those of OBuilder 0.7, so that a store it filled keeps its value.
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::StepId;
use super::manifest::Manifest;
use crate::spec::printer::to_machine;
use crate::spec::sexp::Sexp;
use crate::spec::to_sexp::{self, atom};
use crate::spec::{Mount, User};

/// The id of `(from BASE)`.
pub fn from_id(base: &OsString) -> StepId {
    StepId::of(base.as_bytes())
}

/// A `run` step.
#[derive(Debug, Clone)]
pub struct RunInput {
    /// The result it starts from.
    pub base: StepId,
    /// Where it runs.
    pub workdir: OsString,
    /// The spec's user.
    pub user: User,
    /// Variables, newest first, then the base image's.
    pub env: Vec<(OsString, OsString)>,
    /// The command.
    pub cmd: OsString,
    /// The words before it.
    pub shell: Vec<OsString>,
    /// Network modes.
    pub network: Vec<OsString>,
    /// Secrets, in the spec's order.
    pub secrets: Vec<Secret>,
    /// Cache volumes: not part of the id.
    pub cache: Vec<Mount>,
}

/// A secret with its value.
#[derive(Clone)]
pub struct Secret {
    /// The bytes.
    pub value: Vec<u8>,
    /// Where the step sees them.
    pub target: OsString,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("target", &self.target).finish_non_exhaustive()
    }
}

impl RunInput {
    /// The id of the step's result.
    pub fn id(&self) -> StepId {
        let env = self.env.iter().map(|(name, value)| Sexp::list([atom(name), atom(value)]));
        let secret = |secret: &Secret| {
            let value = Sexp::pair("value", Sexp::atom(&secret.value));
            Sexp::list([value, Sexp::pair("target", atom(&secret.target))])
        };
        let inputs = Sexp::list([
            Sexp::pair("base", Sexp::atom(self.base.as_str())),
            Sexp::pair("workdir", atom(&self.workdir)),
            user(&self.user),
            Sexp::pair("env", Sexp::list(env)),
            Sexp::pair("cmd", atom(&self.cmd)),
            Sexp::pair("shell", Sexp::list(self.shell.iter().map(atom))),
            Sexp::pair("network", Sexp::list(self.network.iter().map(atom))),
            Sexp::pair("mount_secrets", Sexp::list(self.secrets.iter().rev().map(secret))),
        ]);
        StepId::of(&to_machine(&inputs))
    }

    /// The words to execute.
    pub fn argv(&self) -> Vec<OsString> {
        self.shell.iter().chain([&self.cmd]).cloned().collect()
    }
}

/// A `copy` step.
#[derive(Debug, Clone)]
pub struct CopyInput {
    /// The result it starts from.
    pub base: StepId,
    /// Who owns the copies.
    pub user: User,
    /// What is copied.
    pub items: Vec<Manifest>,
    /// The destination, joined to the working directory, otherwise as written.
    pub dst: OsString,
}

/// What is wrong with a `copy` as a whole.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// `(src)`.
    #[error("No source items for copy!")]
    NoSource,
    /// Several sources and a destination that is no directory.
    #[error("When copying multiple items, the destination must end with '/'")]
    ManyIntoOne,
}

impl CopyInput {
    /// Whether the items go into `dst`, rather than becoming it.
    pub fn into_dir(&self) -> bool {
        self.dst.as_bytes().ends_with(b"/")
    }

    /// Whether `dst` can only be a directory: it ends in `/`, or in a part that is `.` or `..`.
    pub fn names_directory(&self) -> bool {
        let last = self.dst.as_bytes().rsplit(|&b| b == b'/').next();
        matches!(last, Some(b"" | b"." | b".."))
    }

    /// The id of the step's result.
    ///
    /// # Errors
    /// The number of sources and the destination do not go together.
    pub fn id(&self) -> Result<StepId, CopyError> {
        let (name, what) = match self.items.as_slice() {
            [] => return Err(CopyError::NoSource),
            items if self.into_dir() => ("Copy_items", Sexp::list(items.iter().map(Manifest::to_sexp))),
            [item] => ("Copy_item", item.to_sexp()),
            _ => return Err(CopyError::ManyIntoOne),
        };
        let inputs = Sexp::list([
            Sexp::pair("base", Sexp::atom(self.base.as_str())),
            user(&self.user),
            Sexp::pair("op", Sexp::pair(name, Sexp::list([what, atom(&self.dst)]))),
        ]);
        Ok(StepId::of(&to_machine(&inputs)))
    }
}

fn user(user: &User) -> Sexp {
    Sexp::pair("user", Sexp::list(to_sexp::user(user)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_the_originals() {
        let base = from_id(&"busybox-local".into());
        assert_eq!(base.as_str(), "75063db19dc45fc23c47e4262cd4267b9d041d779ef3e23b3dc134271de74cc1");
        let file = |path: &str, bytes: &[u8]| Manifest::File {
            path: path.into(),
            sha256: StepId::of(bytes).as_str().to_owned(),
        };
        let dir = Manifest::Dir { path: "d".into(), children: vec![file("d/c", b"c")] };
        let root = User::Unix { uid: 0, gid: 0 };
        let items = vec![file("a", b"a"), dir];
        let copy = CopyInput { base, user: root.clone(), items, dst: "/t/".into() }.id().unwrap();
        assert_eq!(copy.as_str(), "5c8173f7eb6a51f196b4c6f2aa93ffe5abd8e70f3bb8e9f5a7dafe2c379c5854");
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let run = RunInput {
            base: copy,
            workdir: "/".into(),
            user: root,
            env: vec![("PATH".into(), path.into())],
            cmd: "ls -R /t".into(),
            shell: vec!["/bin/sh".into(), "-c".into()],
            network: vec![],
            secrets: vec![],
            cache: vec![],
        };
        assert_eq!(run.id().as_str(), "477098f2020850c666dd189daac767ac81568cb388dae0581e145d9c8b5ceb43");
    }

    #[test]
    fn the_debug_form_of_a_secret_does_not_show_its_value() {
        let secret = Secret { value: b"hunter2".to_vec(), target: "/run/s".into() };
        assert!(!format!("{secret:?}").contains("104"), "no bytes");
        assert!(!format!("{secret:?}").contains("hunter2"), "no text");
    }
}
