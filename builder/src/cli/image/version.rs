//! The version that a new image gets.
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cli::error::CommandError;
use crate::image::{ImageName, Shelf};
use crate::store::Time;

/// What the image is to be called.
#[derive(Args)]
pub(super) struct NewImage {
    /// The image: NAME, or NAME@VERSION; without a version it gets the day's date, as 2026-11-04
    #[arg(value_name = "NAME[@VERSION]")]
    name: ImageName,
    /// Another way to give the version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

impl NewImage {
    /// The name with its version. A second image of a day is 2026-11-04.2.
    pub(super) fn name(&self, shelf: &Shelf) -> Result<ImageName, CommandError> {
        if let Some(version) = &self.version {
            if self.name.version.is_some() {
                return Err(CommandError::usage("the version is given twice; leave out --version"));
            }
            return Ok(self.name.at(version)?);
        }
        if self.name.version.is_some() {
            return Ok(self.name.clone());
        }
        let day = today();
        let versions = std::iter::once(day.clone()).chain((2..).map(|n| format!("{day}.{n}")));
        for version in versions {
            let name = self.name.at(&version)?;
            if shelf.find(&name).is_err() {
                return Ok(name);
            }
        }
        Ok(self.name.at(&day)?)
    }
}

/// `2026-11-04`, in UTC.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = Time(i64::try_from(seconds).unwrap_or(0)).to_string();
    time.split(' ').next().unwrap_or_default().to_owned()
}
