//! Where results are kept, as every command that needs a store is told.
use std::ffi::OsString;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::error::CommandError;
use crate::store::{self, Store, StoreUrl};

/// The store.
#[derive(Args)]
pub(super) struct Place {
    /// Where results are kept
    #[arg(long, value_name = "KIND:PLACE", default_value = "rsync:/var/lib/obuilder-images")]
    store: OsString,
    /// Understood, as OBuilder has it, and not needed: files are shared where the file system can, else copied
    #[arg(long, value_enum, hide_possible_values = true, value_name = "MODE")]
    rsync_mode: Option<RsyncMode>,
}

/// How OBuilder's rsync store clones results.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RsyncMode {
    /// Copies.
    Copy,
    /// Hard links where a file's content is the same.
    Hardlink,
    /// Hard links where a file's size and time are the same.
    #[value(name = "hardlink_unsafe")]
    HardlinkUnsafe,
}

impl Place {
    /// Opens it.
    pub(super) fn open(&self) -> Result<Arc<dyn Store>, CommandError> {
        if let Some(mode) = self.rsync_mode {
            tracing::debug!("--rsync-mode={mode:?} changes nothing");
        }
        let url = StoreUrl::parse(&self.store).map_err(|error| CommandError::usage(error.to_string()))?;
        store::open(&url).map_err(|error| CommandError::environment(error.to_string()))
    }
}
