//! The variables a base image brings, as they are saved with every result made from it:
//! `((env ((PATH /bin))))`.
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::spec::SpecError;
use crate::spec::printer::to_machine;
use crate::spec::reader::read_one;
use crate::spec::sexp::Sexp;
use crate::spec::to_sexp::atom;

/// A variable written `NAME=VALUE`.
pub(super) fn from_assignment(pair: &[u8]) -> Option<(OsString, OsString)> {
    let equals = pair.iter().position(|&b| b == b'=')?;
    let string = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Some((string(&pair[..equals]), string(&pair[equals + 1..])))
}

/// Names and values, in order.
pub type Environment = Vec<(OsString, OsString)>;

/// The text that is saved.
pub fn to_text(env: &Environment) -> Vec<u8> {
    let pair = |(name, value): &(OsString, OsString)| Sexp::list([atom(name), atom(value)]);
    to_machine(&Sexp::list([Sexp::pair("env", Sexp::list(env.iter().map(pair)))]))
}

/// Reads a saved text.
///
/// # Errors
/// It is not `((env ((NAME VALUE)…)))`.
pub fn parse(text: &[u8]) -> Result<Environment, SpecError> {
    let sexp = read_one(text)?;
    let pairs = sexp.as_list().and_then(|fields| match fields {
        [field] => match field.as_list()? {
            [name, pairs] if name.as_atom()? == b"env" => pairs.as_list(),
            _ => None,
        },
        _ => None,
    });
    let pairs =
        pairs.ok_or_else(|| SpecError::at(sexp.at, "expected ((env ((NAME VALUE)…)))").located_in(text))?;
    pairs.iter().map(|pair| variable(pair).ok_or_else(|| bad_pair(pair, text))).collect()
}

fn variable(pair: &Sexp) -> Option<(OsString, OsString)> {
    let string = |sexp: &Sexp| sexp.as_atom().map(|bytes| OsString::from_vec(bytes.to_vec()));
    match pair.as_list()? {
        [name, value] => Some((string(name)?, string(value)?)),
        _ => None,
    }
}

fn bad_pair(pair: &Sexp, text: &[u8]) -> SpecError {
    SpecError::at(pair.at, "expected (NAME VALUE)").located_in(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_back() {
        for env in [vec![], vec![("A".into(), "b c\n".into()), ("A".into(), "".into())]] {
            assert_eq!(parse(&to_text(&env)), Ok(env));
        }
    }

    #[test]
    fn the_originals_layout_is_read() {
        let text = b"((env\n  ((PATH /usr/bin:/bin)\n   (LANG \"C.UTF-8\"))))\n";
        let env = vec![("PATH".into(), "/usr/bin:/bin".into()), ("LANG".into(), "C.UTF-8".into())];
        assert_eq!(parse(text), Ok(env));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "env", "(env)", "((env))", "((env x))", "((env ((a))))", "((env ((a (b)))))", "((e ()))"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
