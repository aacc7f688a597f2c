//! The store of commands that build nothing: one that is there already.
use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;

use super::error::CommandError;
use crate::step::StepId;
use crate::store::{self, Store, StoreError, StoreUrl};

/// The store.
#[derive(Args)]
pub(super) struct Existing {
    /// Where results are kept
    #[arg(long, value_name = "KIND:PLACE")]
    store: OsString,
    /// Understood, as OBuilder has it, and not needed
    #[arg(long, value_name = "MODE", hide = true)]
    #[allow(dead_code, reason = "scripts give it to every command")]
    rsync_mode: Option<String>,
}

impl Existing {
    /// Its address.
    pub(super) fn url(&self) -> Result<StoreUrl, CommandError> {
        StoreUrl::parse(&self.store).map_err(|error| CommandError::usage(error.to_string()))
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Arc<dyn Store>, CommandError> {
        Ok(store::open_existing(&self.url()?)?)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::environment(error.to_string())
    }
}

/// Reads the id of a result.
pub(super) fn id(text: &str) -> Result<StepId, String> {
    StepId::parse(text).ok_or_else(|| {
        "a result is called by 64 hexadecimal digits, as a build prints them after \"Got:\"".to_owned()
    })
}
