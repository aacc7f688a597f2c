//! `obuilder check`: is this a spec?
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::error::CommandError;
use super::input;

/// Check a spec without building it.
#[derive(Args)]
pub(super) struct Check {
    /// The spec
    #[arg(short, long = "file", value_name = "SPEC")]
    file: PathBuf,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        input::spec(&self.file)?;
        writeln!(io::stdout(), "{}: a well-formed spec", self.file.display())
            .map_err(|error| CommandError::environment(format!("cannot write to standard output: {error}")))
    }
}
