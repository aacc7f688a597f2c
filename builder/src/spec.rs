//! The spec language: what a build is made of.
//!
//! Strings are bytes, as in the original's language (`\195\169` is two bytes), hence [`OsString`].
use std::ffi::OsString;

pub mod dockerfile;
mod error;
mod fields;
pub mod format;
pub mod heading;
mod layout;
mod nearest;
mod parse;
pub mod printer;
pub mod reader;
mod scope;
pub mod sexp;
pub mod to_sexp;

pub use error::SpecError;

/// A stage: nested stages, a base image, and the operations on it in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// `(build NAME SPEC)` stages, in the order written; a later one may copy from an earlier one.
    pub builds: Vec<(OsString, Spec)>,
    /// `(from BASE)`.
    pub from: OsString,
    /// The operations, in order.
    pub ops: Vec<Op>,
}

impl Spec {
    /// Reads a spec.
    ///
    /// # Errors
    /// The text is not one well-formed spec, or copies from a stage it does not have.
    pub fn parse(text: &[u8]) -> Result<Self, SpecError> {
        let sexp = reader::read_one(text)?;
        parse::spec(&sexp, &scope::Scope::default()).map_err(|error| error.located_in(text))
    }
}

/// One operation of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `(comment S)`: shown in the log, does nothing.
    Comment(OsString),
    /// `(workdir D)`: where later steps run; joined to the current one if relative, never normalised.
    Workdir(OsString),
    /// `(shell A…)`: the words put before a `run`'s command.
    Shell(Vec<OsString>),
    /// `(run …)`.
    Run(Run),
    /// `(copy …)`.
    Copy(Copy),
    /// `(user …)`.
    User(User),
    /// `(env K V)`.
    Env(OsString, OsString),
}

/// `(run (cache C…)? (network N…)? (secrets S…)? (shell CMD))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Cache volumes, not part of the step's id.
    pub cache: Vec<Mount>,
    /// Network modes; `host` is the only one the original knows.
    pub network: Vec<OsString>,
    /// Secrets the command may read.
    pub secrets: Vec<Mount>,
    /// The command, handed to the shell as one word.
    pub shell: OsString,
}

/// `(NAME (target PATH) (buildkit_options ((K V)…))?)`: a cache or a secret, and where the step sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The cache's or the secret's name.
    pub id: OsString,
    /// Where the step sees it.
    pub target: OsString,
    /// Passed on to `obuilder dockerfile --buildkit`, otherwise unused.
    pub buildkit_options: Vec<(OsString, OsString)>,
}

/// `(copy (from …)? (src P…) (dst P) (exclude X…)?)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Where the sources lie.
    pub from: CopyFrom,
    /// Source paths, relative to the source tree.
    pub src: Vec<OsString>,
    /// Destination; ends in `/` when the sources go into it.
    pub dst: OsString,
    /// Base names left out below the items named.
    pub exclude: Vec<OsString>,
}

/// The source tree of a `copy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFrom {
    /// The directory given on the command line.
    Context,
    /// The result of an earlier `(build NAME …)` in scope.
    Build(OsString),
}

/// `(user …)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// `(uid U) (gid G)`.
    Unix {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// `(name N)`.
    Windows(OsString),
}

/// Root, until the spec says otherwise.
impl Default for User {
    fn default() -> Self {
        Self::Unix { uid: 0, gid: 0 }
    }
}

#[cfg(test)]
mod tests;
