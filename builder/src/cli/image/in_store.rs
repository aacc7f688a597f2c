//! Base images that lie in a store.
use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;

use crate::cli::error::CommandError;
use crate::image::{Image, ImageName};
use crate::store::{self, Store, StoreUrl, Tree};

/// A store that may hold base images.
#[derive(Args)]
pub(in crate::cli) struct InStore {
    /// Look at the base images that lie in this store too
    #[arg(long, value_name = "KIND:PLACE")]
    store: Option<OsString>,
}

impl InStore {
    /// The store, if one is given.
    pub(super) fn open(&self) -> Result<Option<Arc<dyn Store>>, CommandError> {
        let Some(text) = &self.store else { return Ok(None) };
        let url = StoreUrl::parse(text).map_err(|error| CommandError::usage(error.to_string()))?;
        Ok(Some(store::open_existing(&url)?))
    }

    /// The images in it.
    pub(super) fn list(&self) -> Result<Vec<Image>, CommandError> {
        let Some(store) = self.open()? else { return Ok(Vec::new()) };
        let names = store.base_images()?;
        let named = names.iter().filter_map(|name| name.to_str().and_then(|name| name.parse().ok()));
        Ok(named.map(|name: ImageName| image(&*store, name)).collect())
    }

    /// The image `name`, and its tree.
    pub(super) fn find(&self, name: &ImageName) -> Result<Option<(Image, Tree)>, CommandError> {
        let Some(store) = self.open()? else { return Ok(None) };
        let tree = store.base_image(name.to_string().as_ref())?;
        Ok(tree.map(|tree| (image(&*store, name.clone()), tree)))
    }
}

/// The image `name`, by the name that it has in the store.
fn image(store: &dyn Store, name: ImageName) -> Image {
    let dir = store.dir().join("base-image").join(name.to_string());
    Image { name, home: dir.clone(), dir, current: true }
}
