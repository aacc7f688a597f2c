//! `obuilder fmt`: a spec, laid out.
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::error::CommandError;
use super::input;
use crate::spec::format::format;

/// Print a spec, laid out. Its comments (; and #|…|#) are left out: (comment …) is for what is to stay.
#[derive(Args)]
pub(super) struct Fmt {
    /// The spec
    #[arg(short, long = "file", value_name = "SPEC")]
    file: PathBuf,
}

impl Fmt {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let text = format(&input::spec(&self.file)?);
        io::stdout()
            .write_all(&text)
            .map_err(|error| CommandError::environment(format!("cannot write to standard output: {error}")))
    }
}
