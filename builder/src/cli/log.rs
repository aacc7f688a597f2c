//! `obuilder log`: what a step printed.
use std::fs::File;
use std::io::{self, ErrorKind};

use clap::Args;

use super::error::CommandError;
use super::existing::{self, Existing};
use super::input::unreadable;
use super::json::unwritable;
use crate::step::StepId;

/// Show what the step that made a result printed.
#[derive(Args)]
pub(super) struct Log {
    #[command(flatten)]
    store: Existing,
    /// The result
    #[arg(value_name = "ID", value_parser = existing::id)]
    id: StepId,
}

impl Log {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let store = self.store.open()?;
        let missing = || {
            let told = format!("the store {} has no result {}", store.dir().display(), self.id);
            CommandError::usage(told).hint("obuilder ls shows those it has")
        };
        let log = store.find(&self.id)?.ok_or_else(missing)?.log();
        match File::open(&log) {
            Ok(mut file) => {
                io::copy(&mut file, &mut io::stdout()).map(drop).map_err(|error| unwritable(&error))
            }
            // As one that printed nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unreadable("log", &log, &error)),
        }
    }
}
