//! `obuilder image import`: makes an image from a file.
use std::path::PathBuf;

use clap::Args;

use super::placed;
use super::version::NewImage;
use crate::cli::building;
use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::rights::require_root;
use crate::image::import;

/// Make a version of an image from a tar archive or an OCI image.
#[derive(Args)]
pub(in crate::cli) struct Import {
    #[command(flatten)]
    image: NewImage,
    /// A tar archive of a home, perhaps gzipped; or an OCI image, as a layout or an archive of one
    from: PathBuf,
    #[command(flatten)]
    images: BaseImages,
}

impl Import {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        require_root("making images")?;
        let shelf = self.images.shelf();
        let name = self.image.name(&shelf)?;
        let draft = shelf.draft(&name)?;
        building::until_stopped(async |cancel| import::into_draft(&self.from, &draft, cancel))??;
        placed(&shelf.keep(draft, &name)?)
    }
}
