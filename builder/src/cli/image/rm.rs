//! `obuilder image rm`: removes images.
use clap::Args;

use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::json::line;
use crate::cli::rights::require_root;
use crate::image::ImageName;

/// Remove a version, or without one an image with all its versions. What a build is copying just now stays.
#[derive(Args)]
pub(in crate::cli) struct Rm {
    /// What to remove
    #[arg(value_name = "NAME[@VERSION]")]
    name: ImageName,
    #[command(flatten)]
    images: BaseImages,
}

impl Rm {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        require_root("removing images")?;
        let removed = self.images.shelf().remove(&self.name)?;
        removed.iter().try_for_each(|image| line(&format!("removed {}", image.name)))
    }
}
