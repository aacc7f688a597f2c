//! `obuilder doctor`: what differs in a store, told and mended.
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::error::CommandError;
use super::existing::Existing;
use super::json::Listing;
use super::users::usual_scoreboard;
use crate::host::SystemHost;
use crate::sandbox::{SandboxError, leftovers};
use crate::store::StoreUrl;
use crate::store::doctor::{self, Finding};

/// Tell where a store's database and its results differ, and what killed builds left; mend it with --repair.
///
/// Builds may go on meanwhile. The exit code is 1 if something differs and is not mended.
#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    store: Existing,
    /// Mend it
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    listing: Listing,
}

impl Doctor {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let url = self.store.url()?;
        let found = examine(&url)?;
        if self.repair && !found.is_empty() {
            repair(&url)?;
        }
        let left = if self.repair { examine(&url)? } else { found.clone() };
        for finding in &found {
            let mended = !left.contains(finding);
            let end = if mended { ": mended" } else { "" };
            let object = json!({ "kind": finding.kind(), "what": finding.to_string(), "mended": mended });
            self.listing.line(&format!("{finding}{end}"), &object)?;
        }
        match (found.len(), left.len()) {
            (0, _) => self.listing.remark("nothing differs"),
            (_, 0) => Ok(()),
            (_, left) => {
                let told = format!(
                    "{left} thing{} in the store {url}",
                    if left == 1 { " differs" } else { "s differ" }
                );
                let told = CommandError::differs(told);
                Err(if self.repair { told } else { told.hint("mend with --repair") })
            }
        }
    }
}

/// What differs in the store, and what killed builds left of their steps.
fn examine(url: &StoreUrl) -> Result<Vec<Finding>, CommandError> {
    let mut found = doctor::examine(url)?;
    let left = leftovers::find(&SystemHost::default(), &sandbox_state(url))?;
    found.extend(left.into_iter().map(|path| Finding::LeftOver { path }));
    Ok(found)
}

fn repair(url: &StoreUrl) -> Result<(), CommandError> {
    doctor::repair(url)?;
    leftovers::clear(&SystemHost::default(), &sandbox_state(url), Some(&usual_scoreboard()))?;
    Ok(())
}

/// Where sandboxes of builds on the store have what does not outlive a step.
fn sandbox_state(url: &StoreUrl) -> PathBuf {
    url.dir().join("state/sandbox")
}

impl From<SandboxError> for CommandError {
    fn from(error: SandboxError) -> Self {
        Self::environment(error.to_string())
    }
}
