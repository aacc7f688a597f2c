//! `obuilder dockerfile`: a spec as a Dockerfile.
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::error::CommandError;
use super::input;
use crate::spec::dockerfile::{self, Escape, Options, Quoting};

/// Print a spec as a Dockerfile.
#[derive(Args)]
pub(super) struct Dockerfile {
    /// The spec
    #[arg(short, long = "file", value_name = "SPEC")]
    file: PathBuf,
    /// Give steps their caches and secrets, as BuildKit can
    #[arg(long)]
    buildkit: bool,
    /// Whose escape character is used
    #[arg(long, value_enum, value_name = "SYSTEM", default_value = "unix")]
    escape: System,
    /// Quote what Docker would misread: the default is to print what OBuilder prints
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum System {
    /// The backslash
    Unix,
    /// The backtick
    Windows,
}

impl Dockerfile {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let spec = input::spec(&self.file)?;
        let escape = match self.escape {
            System::Unix => Escape::Unix,
            System::Windows => Escape::Windows,
        };
        let print = |quoting| dockerfile::print(&spec, Options { buildkit: self.buildkit, escape, quoting });
        let strict = print(Quoting::Strict);
        let mut text = if self.strict { strict.clone() } else { print(Quoting::Original) };
        if text != strict {
            tracing::warn!("Docker reads parts of this otherwise than the spec means them; see --strict");
        }
        text.push(b'\n');
        io::stdout()
            .write_all(&text)
            .map_err(|error| CommandError::environment(format!("cannot write to standard output: {error}")))
    }
}
