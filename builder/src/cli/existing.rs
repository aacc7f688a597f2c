//! The store of commands that build nothing: one that is there already.
use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;

use super::error::CommandError;
use super::place::{RsyncMode, address};
use crate::step::StepId;
use crate::store::{self, Store, StoreError, StoreUrl, auto};

/// The store.
#[derive(Args)]
pub(super) struct Existing {
    /// Where results are kept
    #[arg(long, value_name = "KIND:PLACE")]
    store: OsString,
    #[command(flatten)]
    mode: RsyncMode,
}

impl Existing {
    /// Its address.
    pub(super) fn url(&self) -> Result<StoreUrl, CommandError> {
        let url = auto::find(&address(&self.store)?)?;
        match (self.mode.sharing(), &url) {
            (Some(_), url) if !matches!(url, StoreUrl::Rsync(_)) => {
                Err(StoreError::NotRsync { url: url.clone() }.into())
            }
            _ => Ok(url),
        }
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Arc<dyn Store>, CommandError> {
        Ok(store::open_existing(&self.url()?)?)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotRsync { .. } => Self::usage(error.to_string()),
            _ => Self::environment(error.to_string()),
        }
    }
}

/// Reads the id of a result.
pub(super) fn id(text: &str) -> Result<StepId, String> {
    StepId::parse(text).ok_or_else(|| {
        "a result is called by 64 hexadecimal digits, as a build prints them after \"Got:\"".to_owned()
    })
}
