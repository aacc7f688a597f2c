//! `obuilder prune`: makes room in a store.
use std::time::Duration;

use clap::Args;

use super::clean::told;
use super::duration;
use super::error::CommandError;
use super::existing::Existing;
use super::json::Listing;
use crate::store::removal::{self, Rules};

/// Delete the least recently used results, as far as all the rules given let them go.
///
/// What a build is using stays, and so does whatever another result that stays was made from.
#[derive(Args)]
pub(super) struct Prune {
    #[command(flatten)]
    store: Existing,
    /// Keep at least so many results
    #[arg(long, value_name = "N", value_parser = count)]
    keep: Option<usize>,
    /// Keep what was used within this time, as 12h, 7d or 2w
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    older_than: Option<Duration>,
    /// Delete only until so much of the store's file system is free
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    free: Option<u8>,
    #[command(flatten)]
    listing: Listing,
}

impl Prune {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let rules = Rules { keep: self.keep, older_than: self.older_than, free: self.free };
        if rules == Rules::default() {
            return Err(CommandError::usage("prune needs to be told what to keep")
                .hint("give --keep=N, --older-than=DURATION or --free=PERCENT; clean deletes everything"));
        }
        let store = self.store.open()?;
        let mut gone = Vec::new();
        let done = removal::prune(&*store, &rules, |id| gone.push(id.clone()));
        told(&self.listing, &gone, done)
    }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it must be a number of results, 0 or more".to_owned())
}

/// `20` or `20%`.
fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number.filter(|percent| *percent <= 100).ok_or_else(|| "it must be a percentage, 0 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_whole_number_up_to_100() {
        assert_eq!(percent("20"), Ok(20));
        assert_eq!(percent("100%"), Ok(100));
        for text in ["", "%", "101", "-1", "1.5", "x"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
