//! `obuilder store`: stores as a whole.
mod copy;
mod verify;

use clap::{Args, Subcommand};

use super::error::CommandError;

/// What to do with stores.
#[derive(Args)]
pub(super) struct Stores {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Copy results from one store to another, of whatever kinds
    Copy(copy::Copy),
    /// Check that a store is whole
    Verify(verify::Verify),
}

impl Stores {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        match &self.command {
            Command::Copy(command) => command.run(),
            Command::Verify(command) => command.run(),
        }
    }
}
