//! Records in a spec: `(FIELD VALUE…)…`, each field at most once.
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::error::SpecError;
use super::nearest::nearest;
use super::printer::atom_text;
use super::sexp::Sexp;

/// The fields of one record, checked to be known and not repeated.
pub(super) struct Fields<'s> {
    owner: String,
    at: usize,
    found: Vec<(&'static str, &'s Sexp, &'s [Sexp])>,
}

impl<'s> Fields<'s> {
    /// Takes the record of `owner` (as `(run …)`), which lies at `at`, apart.
    pub(super) fn of(
        owner: &str,
        at: usize,
        record: &'s [Sexp],
        known: &[&'static str],
    ) -> Result<Fields<'s>, SpecError> {
        let mut found: Vec<(&str, &Sexp, &[Sexp])> = Vec::new();
        for field in record {
            let Some((name, values)) = tagged(field) else {
                let hint = format!("its fields are {}", known.join(", "));
                return Err(
                    SpecError::at(field.at, format!("{owner}: expected a field, as (NAME VALUE)")).hint(hint)
                );
            };
            let name = atom_text(name);
            let Some(known_name) = known.iter().copied().find(|k| *k == name) else {
                return Err(unknown(word_at(field), &format!("{owner}: unknown field"), &name, known));
            };
            if found.iter().any(|(n, ..)| *n == known_name) {
                return Err(SpecError::at(field.at, format!("{owner}: field \"{name}\" is given twice"))
                    .hint("merge the two into one"));
            }
            found.push((known_name, field, values));
        }
        Ok(Self { owner: owner.to_owned(), at, found })
    }

    /// The values of a field; none if it is absent.
    pub(super) fn list(&self, name: &str) -> &'s [Sexp] {
        self.found.iter().find(|(n, ..)| *n == name).map_or(&[], |(.., values)| *values)
    }

    /// The single value of a field, if it is there.
    pub(super) fn optional(&self, name: &str) -> Result<Option<&'s Sexp>, SpecError> {
        match self.found.iter().find(|(n, ..)| *n == name) {
            None => Ok(None),
            Some((_, _, [value])) => Ok(Some(value)),
            Some((_, field, values)) => {
                let message =
                    format!("{}: field \"{name}\" takes one value, not {}", self.owner, values.len());
                Err(SpecError::at(field.at, message).hint("put a value with blanks in it in double quotes"))
            }
        }
    }

    /// The single value of a field that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&'s Sexp, SpecError> {
        self.optional(name)?.ok_or_else(|| self.lacks(name))
    }

    /// The values of a field that must be there.
    pub(super) fn required_list(&self, name: &str) -> Result<&'s [Sexp], SpecError> {
        if self.found.iter().any(|(n, ..)| *n == name) { Ok(self.list(name)) } else { Err(self.lacks(name)) }
    }

    fn lacks(&self, name: &str) -> SpecError {
        SpecError::at(self.at, format!("{}: field \"{name}\" is missing", self.owner))
            .hint(format!("add ({name} …) to it"))
    }
}

/// `(NAME VALUE…)` taken apart.
pub(super) fn tagged(sexp: &Sexp) -> Option<(&[u8], &[Sexp])> {
    match sexp.as_list()? {
        [name, values @ ..] => Some((name.as_atom()?, values)),
        [] => None,
    }
}

/// Where the first word of a list stands.
pub(super) fn word_at(sexp: &Sexp) -> usize {
    sexp.as_list().and_then(<[Sexp]>::first).map_or(sexp.at, |word| word.at)
}

/// The error for a word that is none of `known`.
pub(super) fn unknown(at: usize, what: &str, word: &str, known: &[&str]) -> SpecError {
    let hint = match nearest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("known are {}", known.join(", ")),
    };
    SpecError::at(at, format!("{what} \"{word}\"")).hint(hint)
}

/// A string value.
pub(super) fn string(owner: &str, sexp: &Sexp) -> Result<OsString, SpecError> {
    let Some(bytes) = sexp.as_atom() else {
        return Err(SpecError::at(sexp.at, format!("{owner}: expected a string here, not a list")));
    };
    if bytes.contains(&0) {
        return Err(SpecError::at(sexp.at, format!("{owner}: a string must not hold a NUL byte"))
            .hint("no path, variable or command can contain one"));
    }
    Ok(OsString::from_vec(bytes.to_vec()))
}

/// String values.
pub(super) fn strings(owner: &str, sexps: &[Sexp]) -> Result<Vec<OsString>, SpecError> {
    sexps.iter().map(|sexp| string(owner, sexp)).collect()
}
