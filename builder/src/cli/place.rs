//! Where results are kept, as every command that needs a store is told.
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::error::CommandError;
use crate::store::{self, Sharing, Store, StoreUrl, auto};

/// The store.
#[derive(Args)]
pub(super) struct Place {
    /// Where results are kept: auto:DIR, btrfs:DIR, zfs:POOL, xfs:DIR, overlayfs:DIR or rsync:DIR [default: auto]
    #[arg(long, value_name = "KIND:PLACE")]
    store: Option<OsString>,
    #[command(flatten)]
    mode: RsyncMode,
}

/// How results share files with what they were made from.
#[derive(Args)]
pub(super) struct RsyncMode {
    /// How a store of the kind rsync saves space where files share no blocks: copy, hardlink or hardlink_unsafe
    #[arg(long, value_enum, hide_possible_values = true, value_name = "MODE")]
    rsync_mode: Option<Mode>,
}

/// As OBuilder calls them.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Copies.
    Copy,
    /// Hard links where a file's content is the same.
    Hardlink,
    /// Hard links where a file's size and time are the same.
    #[value(name = "hardlink_unsafe")]
    HardlinkUnsafe,
}

impl RsyncMode {
    pub(super) fn sharing(&self) -> Option<Sharing> {
        self.rsync_mode.map(|mode| match mode {
            Mode::Copy => Sharing::Copy,
            Mode::Hardlink => Sharing::Hardlink,
            Mode::HardlinkUnsafe => Sharing::HardlinkUnsafe,
        })
    }
}

impl Place {
    /// Opens it; where none is named, the best that there can be in `usual`. Says of which kind a new one is.
    pub(super) fn open(&self, usual: &str) -> Result<Arc<dyn Store>, CommandError> {
        let url = match &self.store {
            Some(store) => address(store)?,
            None => StoreUrl::Auto(usual.into()),
        };
        let choice = auto::choose(&url)?;
        let store = store::open_sharing(&choice.url, self.mode.sharing())?;
        if let Some(why) = choice.why {
            tracing::warn!("results are kept in {}: {why}", choice.url);
        }
        Ok(store)
    }
}

/// Reads the address of a store.
pub(super) fn address(text: &OsStr) -> Result<StoreUrl, CommandError> {
    StoreUrl::parse(text).map_err(|error| CommandError::usage(error.to_string()))
}
