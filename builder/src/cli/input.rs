//! What commands read before they begin: the spec, and secrets.
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::error::CommandError;
use crate::engine::Order;
use crate::spec::Spec;

/// What is built.
#[derive(Args)]
pub(super) struct Input {
    /// The source tree of (copy (from context) …)
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// The spec
    #[arg(short, long = "file", value_name = "SPEC")]
    file: PathBuf,
    /// A secret that steps may ask for
    #[arg(long = "secret", value_name = "ID:FILE", value_parser = secret_file())]
    secrets: Vec<SecretFile>,
}

fn secret_file() -> impl TypedValueParser<Value = SecretFile> {
    OsStringValueParser::new().try_map(|text| SecretFile::parse(&text))
}

impl Input {
    /// Reads it all.
    pub(super) fn order(&self) -> Result<Order, CommandError> {
        let spec = spec(&self.file)?;
        let source = self.source()?;
        let secrets = self.secrets.iter().map(SecretFile::read).collect::<Result<_, _>>()?;
        Ok(Order { spec, source, secrets })
    }

    fn source(&self) -> Result<PathBuf, CommandError> {
        let source = self.source.canonicalize();
        let source = source.map_err(|error| unreadable("source tree", &self.source, &error))?;
        if source.is_dir() {
            return Ok(source);
        }
        Err(CommandError::usage(format!("the source tree {} is not a directory", self.source.display())))
    }
}

/// Reads the spec in `file`.
pub(super) fn spec(file: &Path) -> Result<Spec, CommandError> {
    let text = fs::read(file).map_err(|error| unreadable("spec", file, &error))?;
    Spec::parse(&text).map_err(|error| {
        let place = error.position().map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        let told = format!("{}{place}: {}", file.display(), error.message);
        let told = CommandError::usage(told).excerpt(error.excerpt());
        match error.hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    })
}

/// A secret on the command line: `ID:FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretFile {
    id: OsString,
    file: PathBuf,
}

impl SecretFile {
    /// Reads `ID:FILE`.
    pub(super) fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let colon = bytes.iter().position(|&b| b == b':').filter(|&at| at > 0 && at + 1 < bytes.len());
        let at = colon.ok_or("it must be ID:FILE, as token:/root/token")?;
        let part = |part: &[u8]| OsStr::from_bytes(part).to_owned();
        Ok(Self { id: part(&bytes[..at]), file: PathBuf::from(part(&bytes[at + 1..])) })
    }

    /// The secret's name and bytes.
    pub(super) fn read(&self) -> Result<(OsString, Vec<u8>), CommandError> {
        let what = format!("secret {}", self.id.to_string_lossy());
        let value = fs::read(&self.file).map_err(|error| unreadable(&what, &self.file, &error))?;
        Ok((self.id.clone(), value))
    }
}

/// The error for a file that cannot be read.
pub(super) fn unreadable(what: &str, path: &Path, error: &io::Error) -> CommandError {
    let words = error.to_string();
    let why = words.split(" (os error").next().unwrap_or(&words);
    CommandError::usage(format!("cannot read the {what}: {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_spec_is_told_by_file_line_and_column() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s");
        fs::write(&file, "((from empty)\n (rnu x))").unwrap();
        let told = spec(&file).unwrap_err().text();
        let place = format!("obuilder: {}:2:3: unknown operation \"rnu\"", file.display());
        assert_eq!(told, format!("{place}\n2 |  (rnu x))\n      ^\nhint: did you mean \"run\"?\n"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_reason() {
        let told = spec(Path::new("/no/such")).unwrap_err().text();
        assert_eq!(told, "obuilder: cannot read the spec: /no/such: No such file or directory\n");
    }

    #[test]
    fn a_secret_is_an_id_and_a_file_that_may_hold_colons() {
        let secret = SecretFile::parse(OsStr::new("a:/b:c")).unwrap();
        assert_eq!(secret, SecretFile { id: "a".into(), file: "/b:c".into() });
        for text in ["", "a", ":", "a:", ":b"] {
            assert!(SecretFile::parse(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
