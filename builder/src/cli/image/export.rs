//! `obuilder image export`: writes an image to somewhere else.
use std::path::PathBuf;

use clap::Args;

use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::json::line;
use crate::cli::rights::require_root;
use crate::image::{ImageName, archive, hold, layout};

/// Write an image to a tar archive, or to an OCI layout.
#[derive(Args)]
pub(in crate::cli) struct Export {
    /// The image; without a version the one that (from NAME) means
    #[arg(value_name = "NAME[@VERSION]")]
    name: ImageName,
    /// The file to write, which must not be there yet; with --oci the directory
    to: PathBuf,
    /// Write an OCI image layout, with the version for its tag
    #[arg(long)]
    oci: bool,
    #[command(flatten)]
    images: BaseImages,
}

impl Export {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        require_root("reading all of an image")?;
        let image = self.images.shelf().find(&self.name)?;
        let held = hold(&image.home);
        let _held = held.map_err(|e| CommandError::environment(format!("{}: {e}", image.home.display())))?;
        if self.oci {
            layout::to_directory(&image, &self.to)?;
        } else {
            archive::to_file(&image.home, &self.to)?;
        }
        line(&format!("{} is in {}", image.name, self.to.display()))
    }
}
