//! `obuilder image show`: what there is to know of an image.
use clap::Args;
use serde_json::json;

use super::in_store::InStore;
use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::json::Listing;
use crate::cli::rights::require_root;
use crate::image::{Image, ImageError, ImageName, Summary, summary, summary_at};

/// Show what there is to know of an image.
#[derive(Args)]
pub(in crate::cli) struct Show {
    /// The image; without a version the one that (from NAME) means
    #[arg(value_name = "NAME[@VERSION]")]
    name: ImageName,
    #[command(flatten)]
    images: BaseImages,
    #[command(flatten)]
    in_store: InStore,
    #[command(flatten)]
    listing: Listing,
}

impl Show {
    /// The image in the directory of images, or else the one in the store.
    fn look(&self) -> Result<(Image, Summary), CommandError> {
        let found = self.images.shelf().find(&self.name);
        if let (Err(ImageError::Missing { .. }), Some((image, tree))) =
            (&found, self.in_store.find(&self.name)?)
        {
            let summary = summary_at(&tree, &image.name)?;
            return Ok((image, summary));
        }
        let image = found?;
        let summary = summary(&image)?;
        Ok((image, summary))
    }

    pub(super) fn run(&self) -> Result<(), CommandError> {
        require_root("looking into an image")?;
        let (image, summary) = self.look()?;
        let (made, step) = (summary.made.to_string(), summary.step.as_str());
        let object = json!({
            "name": image.name.name,
            "version": image.name.version,
            "current": image.current,
            "directory": image.dir.to_string_lossy(),
            "made": made,
            "owner": summary.owner,
            "entries": summary.entries,
            "bytes": summary.size,
            "step": step,
        });
        let text = format!(
            "image      {}{}\ndirectory  {}\nmade       {made} (UTC)\nowner      uid {}\nholds      {} files, {} MiB\nstep       {step}",
            image.name,
            if image.current { format!(", which (from {}) means", image.name.name) } else { String::new() },
            image.dir.display(),
            summary.owner,
            summary.entries,
            summary.size.div_ceil(1 << 20),
        );
        self.listing.line(&text, &object)
    }
}
