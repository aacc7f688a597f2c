//! `obuilder clean`: empties a store.
use clap::Args;
use serde_json::json;

use super::error::CommandError;
use super::existing::Existing;
use super::json::Listing;
use crate::store::{Store, StoreError, removal};

/// Delete every result that no build is using.
#[derive(Args)]
pub(super) struct Clean {
    #[command(flatten)]
    store: Existing,
    /// Delete the cache volumes too, but for those that builds are using
    #[arg(long)]
    caches: bool,
    #[command(flatten)]
    listing: Listing,
}

impl Clean {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let store = self.store.open()?;
        let mut gone = Vec::new();
        let done = removal::clean(&*store, |id| gone.push(id.clone()));
        told(&self.listing, &gone, done)?;
        if self.caches {
            self.caches(&*store)?;
        }
        Ok(())
    }

    fn caches(&self, store: &dyn Store) -> Result<(), CommandError> {
        let (mut removed, mut in_use) = (0, 0);
        for name in store.caches()? {
            match store.delete_cache(&name) {
                Err(StoreError::CacheInUse { .. }) => in_use += 1,
                other => {
                    other?;
                    removed += 1;
                    self.listing.object(&json!({ "cache": name.to_string_lossy() }))?;
                }
            }
        }
        self.listing.remark(&format!("Removed {removed} caches"))?;
        if in_use > 0 {
            self.listing.remark(&format!("Kept {in_use} caches that builds are using"))?;
        }
        Ok(())
    }
}

/// Tells what went, also when something went wrong after that.
pub(super) fn told(
    listing: &Listing,
    gone: &[crate::step::StepId],
    done: Result<removal::Removed, StoreError>,
) -> Result<(), CommandError> {
    for id in gone {
        tracing::info!("removed {id}");
        listing.object(&json!({ "id": id.as_str() }))?;
    }
    listing.remark(&format!("Removed {} items", gone.len()))?;
    let done = done?;
    if done.in_use > 0 {
        listing
            .remark(&format!("Kept {} that builds are using, and what they were made from", done.in_use))?;
    }
    Ok(())
}
