//! `obuilder store verify`: is a store whole?
use clap::Args;
use serde_json::json;

use super::super::error::CommandError;
use super::super::existing::Existing;
use super::super::json::Listing;
use crate::store::verify;

/// Check that a store is whole: its database, and that each result has all its parts.
///
/// The exit code is 1 if something is wrong.
#[derive(Args)]
pub(in super::super) struct Verify {
    #[command(flatten)]
    store: Existing,
    /// Read every file too, and compare it with what it was the first time
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    listing: Listing,
}

impl Verify {
    pub(in super::super) fn run(&self) -> Result<(), CommandError> {
        let url = self.store.url()?;
        let verified = verify::verify(&url, self.deep)?;
        for flaw in &verified.flaws {
            self.listing.line(&flaw.what, &json!({ "kind": flaw.kind, "what": flaw.what }))?;
        }
        let (results, compared) = (verified.results, verified.compared);
        let read = if self.deep {
            format!("; {compared} are what they were, {} were read for the first time", results - compared)
        } else {
            String::new()
        };
        match verified.flaws.len() {
            0 => self.listing.remark(&format!("{results} results are whole{read}")),
            1 => Err(CommandError::differs(format!("1 thing is wrong in the store {url}"))),
            flaws => Err(CommandError::differs(format!("{flaws} things are wrong in the store {url}"))),
        }
        .map_err(|error| if verified.flaws.is_empty() { error } else { error.hint("obuilder doctor --repair mends what can be mended; delete results that are wrong, and they are built again") })
    }
}
