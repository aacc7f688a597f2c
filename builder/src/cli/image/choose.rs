//! `obuilder image use`: lets a name mean another version.
use clap::Args;

use super::placed;
use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::rights::require_root;
use crate::image::ImageName;

/// Let (from NAME) mean another version.
#[derive(Args)]
pub(in crate::cli) struct Choose {
    /// The version to be meant
    #[arg(value_name = "NAME@VERSION")]
    name: ImageName,
    #[command(flatten)]
    images: BaseImages,
}

impl Choose {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        if self.name.version.is_none() {
            return Err(
                CommandError::usage(format!("{} has no version", self.name)).hint("give NAME@VERSION")
            );
        }
        require_root("changing images")?;
        placed(&self.images.shelf().choose(&self.name)?)
    }
}
