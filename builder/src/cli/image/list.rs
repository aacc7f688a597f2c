//! `obuilder image list`: which images there are.
use clap::Args;
use serde_json::json;

use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::json::Listing;

/// List the images. A * marks the version that (from NAME) means.
#[derive(Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    images: BaseImages,
    #[command(flatten)]
    listing: Listing,
}

impl List {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        for image in self.images.shelf().list()? {
            let mark = if image.current { '*' } else { ' ' };
            let object = json!({
                "name": image.name.name,
                "version": image.name.version,
                "current": image.current,
                "directory": image.dir.to_string_lossy(),
            });
            self.listing.line(&format!("{mark} {}", image.name), &object)?;
        }
        Ok(())
    }
}
