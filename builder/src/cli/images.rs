//! Where base images are, as every command that needs them is told.
use std::path::{Path, PathBuf};

use clap::Args;

use crate::host::{Host, SystemHost};
use crate::image::Shelf;

/// The directory of base images.
#[derive(Args)]
pub(super) struct BaseImages {
    /// Where base images are [default: the directory of the machine's homes]
    #[arg(long, value_name = "DIR")]
    base_images: Option<PathBuf>,
}

impl BaseImages {
    pub(super) fn dir(&self) -> PathBuf {
        let homes = || SystemHost::default().build_home().parent().map(Path::to_owned);
        self.base_images.clone().or_else(homes).unwrap_or_else(|| "/".into())
    }

    pub(super) fn shelf(&self) -> Shelf {
        Shelf::new(self.dir(), Box::new(SystemHost::default()))
    }
}
