//! `obuilder image`: makes, shows and removes base images.
mod choose;
mod create;
mod export;
mod import;
mod in_store;
mod list;
mod rm;
mod show;
mod version;

use clap::{Args, Subcommand};

use super::error::CommandError;
use crate::fetch::FetchError;
use crate::image::{Image, ImageError};
use crate::sandbox::SandboxError;

/// Make, show and remove base images.
#[derive(Args)]
pub(super) struct Images {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a version of an image with a script
    Create(create::Create),
    /// List the images
    List(list::List),
    /// Show what there is to know of an image
    Show(show::Show),
    /// Let (from NAME) mean another version
    Use(choose::Choose),
    /// Remove a version, or an image with all its versions
    Rm(rm::Rm),
    /// Write an image to a tar archive, or to an OCI layout
    Export(export::Export),
    /// Make a version of an image from a tar archive or an OCI image
    Import(import::Import),
}

impl Images {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        match &self.command {
            Command::Create(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Use(command) => command.run(),
            Command::Rm(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Import(command) => command.run(),
        }
    }
}

impl From<ImageError> for CommandError {
    fn from(error: ImageError) -> Self {
        match &error {
            ImageError::Name { .. } => Self::usage(error.to_string()),
            ImageError::Fetch(FetchError::Cancelled) | ImageError::Sandbox(SandboxError::Cancelled) => {
                Self::cancelled()
            }
            ImageError::Script { .. } | ImageError::NoImage { .. } => Self::differs(error.to_string()),
            _ => Self::environment(error.to_string()),
        }
    }
}

/// Says that a version is in place, and what follows from that for stores that know an older one.
fn placed(image: &Image) -> Result<(), CommandError> {
    super::json::line(&format!("{} is ready: begin specs with (from {0})", image.name))?;
    let step = crate::step::from_id(&image.name.name.clone().into());
    super::json::line(&format!(
        "(from {}) means it too; a store that has an older one under that name keeps it until you run: \
         obuilder delete --store=… {step}",
        image.name.name
    ))
}
