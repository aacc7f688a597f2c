//! The stages of a spec one after the other, as a Dockerfile has them, and what each may call the others.
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::Quoting;
use crate::spec::Spec;

/// A stage.
pub(super) struct Stage<'a> {
    pub(super) spec: &'a Spec,
    /// What it is called; the last one needs no name.
    pub(super) alias: Option<OsString>,
    /// The stages it may copy from: their names in the spec, and in the Dockerfile. Later ones hide earlier ones.
    scope: Vec<(&'a OsStr, OsString)>,
}

impl Stage<'_> {
    /// What the Dockerfile calls the stage that the spec calls `name`.
    pub(super) fn alias_of<'n>(&'n self, name: &'n OsStr) -> &'n OsStr {
        self.scope.iter().rev().find(|(known, _)| *known == name).map_or(name, |(_, alias)| alias)
    }
}

/// The stages of `spec`, inner ones before those around them.
pub(super) fn stages(spec: &Spec, quoting: Quoting) -> Vec<Stage<'_>> {
    let mut naming = Naming { quoting, taken: HashSet::new(), stages: Vec::new() };
    naming.add(spec, None, Vec::new());
    naming.stages
}

struct Naming<'a> {
    quoting: Quoting,
    taken: HashSet<OsString>,
    stages: Vec<Stage<'a>>,
}

impl<'a> Naming<'a> {
    fn add(&mut self, spec: &'a Spec, alias: Option<OsString>, mut scope: Vec<(&'a OsStr, OsString)>) {
        for (name, inner) in &spec.builds {
            let alias = self.alias(name);
            self.add(inner, Some(alias.clone()), scope.clone());
            scope.push((name, alias));
        }
        self.stages.push(Stage { spec, alias, scope });
    }

    fn alias(&mut self, name: &OsStr) -> OsString {
        if self.quoting == Quoting::Original {
            return name.to_owned();
        }
        let plain = plain(name);
        let mut alias = plain.clone();
        let mut number = 1;
        while !self.taken.insert(alias.clone().into()) {
            number += 1;
            alias = format!("{plain}-{number}");
        }
        alias.into()
    }
}

/// A name that Docker takes: a lower-case letter, then letters, digits and `-_.`.
fn plain(name: &OsStr) -> String {
    let byte = |&byte: &u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_' | b'.' => char::from(byte),
        b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()),
        _ => '-',
    };
    let plain: String = name.as_bytes().iter().map(byte).collect();
    if plain.starts_with(|first: char| first.is_ascii_lowercase()) { plain } else { format!("stage-{plain}") }
}
