//! `obuilder image list`: which images there are.
use clap::Args;
use serde_json::json;

use super::in_store::InStore;
use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::json::Listing;

/// List the images. A * marks the version that (from NAME) means.
#[derive(Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    images: BaseImages,
    #[command(flatten)]
    in_store: InStore,
    #[command(flatten)]
    listing: Listing,
}

impl List {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let images = self.images.shelf().list()?;
        for image in images.into_iter().chain(self.in_store.list()?) {
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
