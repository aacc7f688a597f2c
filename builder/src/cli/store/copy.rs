//! `obuilder store copy`: moves results between stores.
use std::ffi::OsString;

use clap::Args;
use serde_json::json;

use super::super::error::CommandError;
use super::super::existing;
use super::super::json::Listing;
use super::super::place::{RsyncMode, address};
use crate::step::StepId;
use crate::store::copying::{self, Copied};
use crate::store::{self, StoreUrl, auto};

/// Copy results, what they were made from and their times; without an ID all of them, and the caches.
///
/// What is there already stays as it is, so a copy that was stopped goes on where it was.
#[derive(Args)]
pub(in super::super) struct Copy {
    /// The store to copy from
    #[arg(value_name = "FROM")]
    from: OsString,
    /// The store to copy to, made if it is not there
    #[arg(value_name = "TO")]
    to: OsString,
    /// Only these results, and those they were made from
    #[arg(value_name = "ID", value_parser = existing::id)]
    ids: Vec<StepId>,
    #[command(flatten)]
    mode: RsyncMode,
    #[command(flatten)]
    listing: Listing,
}

impl Copy {
    pub(in super::super) fn run(&self) -> Result<(), CommandError> {
        let (from, to) = (address(&self.from)?, address(&self.to)?);
        let from = store::open_existing(&auto::find(&from)?)?;
        let to: StoreUrl = auto::choose(&to)?.url;
        let to = store::open_sharing(&to, self.mode.sharing())?;
        let mut unwritten = Ok(());
        let counts = copying::copy(&*from, &*to, &self.ids, |copied| {
            let (text, object) = match copied {
                Copied::Result(id) => (id.to_string(), json!({ "id": id.as_str() })),
                Copied::Cache(name) => {
                    let name = name.to_string_lossy();
                    (format!("cache {name}"), json!({ "cache": name }))
                }
            };
            if unwritten.is_ok() {
                unwritten = self.listing.line(&text, &object);
            }
        });
        unwritten?;
        let counts = counts?;
        let caches =
            if counts.caches > 0 { format!(", and {} caches", counts.caches) } else { String::new() };
        self.listing.remark(&format!(
            "Copied {} results ({} were there already){caches}",
            counts.copied, counts.skipped
        ))
    }
}
