//! Lists for people and for programs: lines of text, or one JSON object a line.
use std::io::{self, Write};

use clap::Args;
use serde_json::Value;

use super::error::CommandError;

/// How a list is written.
#[derive(Args)]
pub(super) struct Listing {
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Listing {
    /// Writes a line: `object` for programs, else `text`.
    pub(super) fn line(&self, text: &str, object: &Value) -> Result<(), CommandError> {
        if self.json { line(&object.to_string()) } else { line(text) }
    }

    /// A line that only people need.
    pub(super) fn remark(&self, text: &str) -> Result<(), CommandError> {
        if self.json { Ok(()) } else { line(text) }
    }

    /// A line that only programs need.
    pub(super) fn object(&self, object: &Value) -> Result<(), CommandError> {
        if self.json { line(&object.to_string()) } else { Ok(()) }
    }
}

/// Writes a line to standard output.
pub(super) fn line(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(|error| unwritable(&error))
}

/// The error for a standard output that cannot be written to.
pub(super) fn unwritable(error: &io::Error) -> CommandError {
    CommandError::environment(format!("cannot write to standard output: {error}"))
}
