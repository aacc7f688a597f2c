//! `obuilder image show`: what there is to know of an image.
use clap::Args;
use serde_json::json;

use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::json::Listing;
use crate::cli::rights::require_root;
use crate::image::{ImageName, summary};

/// Show what there is to know of an image.
#[derive(Args)]
pub(in crate::cli) struct Show {
    /// The image; without a version the one that (from NAME) means
    #[arg(value_name = "NAME[@VERSION]")]
    name: ImageName,
    #[command(flatten)]
    images: BaseImages,
    #[command(flatten)]
    listing: Listing,
}

impl Show {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        require_root("looking into an image")?;
        let image = self.images.shelf().find(&self.name)?;
        let summary = summary(&image)?;
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
