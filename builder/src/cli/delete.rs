//! `obuilder delete`: a result, and all that was made from it.
use clap::Args;

use super::error::CommandError;
use super::existing::{self, Existing};
use super::json::line;
use crate::step::StepId;
use crate::store::removal;

/// Delete a result and all that was made from it.
#[derive(Args)]
pub(super) struct Delete {
    #[command(flatten)]
    store: Existing,
    /// The result, as printed after "Got:"
    #[arg(value_name = "ID", value_parser = existing::id)]
    id: StepId,
}

impl Delete {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let store = self.store.open()?;
        let mut told = Ok(());
        let deleted = removal::delete(&*store, &self.id, |id| {
            if told.is_ok() {
                told = line(&format!("Removing {id}"));
            }
        })?;
        if deleted == 0 {
            tracing::warn!(
                "nothing to delete: the store {} has no result {}",
                store.dir().display(),
                self.id
            );
        }
        told
    }
}
