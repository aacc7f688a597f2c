//! `obuilder ls`: what a store holds.
use clap::Args;
use serde_json::json;

use super::error::CommandError;
use super::existing::Existing;
use super::json::Listing;

/// List the results in a store.
#[derive(Args)]
pub(super) struct Ls {
    #[command(flatten)]
    store: Existing,
    /// List the cache volumes instead
    #[arg(long)]
    caches: bool,
    #[command(flatten)]
    listing: Listing,
}

impl Ls {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let store = self.store.open()?;
        if self.caches {
            return store.caches()?.iter().try_for_each(|name| {
                let name = name.to_string_lossy();
                self.listing.line(&name, &json!({ "cache": name }))
            });
        }
        let entries = store.list()?;
        if !entries.is_empty() {
            let times = format!("{:<19}  {:<19}", "MADE (UTC)", "USED (UTC)");
            self.listing.remark(&format!("{:<64}  {times}  RESULTS MADE FROM IT", "ID"))?;
        }
        for entry in entries {
            let (created, used) = (entry.created.to_string(), entry.used.to_string());
            let object = json!({
                "id": entry.id.as_str(),
                "created": created,
                "used": used,
                "parent": entry.parent.as_ref().map(crate::step::StepId::as_str),
                "children": entry.children,
            });
            self.listing.line(&format!("{}  {created}  {used}  {}", entry.id, entry.children), &object)?;
        }
        Ok(())
    }
}
