//! What there is to know of an image.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Image, ImageError, ImageName};
use crate::fetch::PROFILE;
use crate::step::{StepId, from_id};
use crate::store::Time;

/// What there is to know of an image besides its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// When it was put in place.
    pub made: Time,
    /// The uid whose files become the build user's.
    pub owner: u32,
    /// Files, directories and links in it.
    pub entries: u64,
    /// What it takes up, in bytes; files with several names count once.
    pub size: u64,
    /// The id of the step `(from NAME@VERSION)`, under which stores keep its copy.
    pub step: StepId,
}

/// Looks through the image.
///
/// # Errors
/// Something in it cannot be read.
pub fn summary(image: &Image) -> Result<Summary, ImageError> {
    of(&image.home, &image.home, &image.name)
}

/// Looks through the image called `name` that is shown at `dir`: a home, or a directory that holds one.
///
/// # Errors
/// Something in it cannot be read.
pub fn summary_at(dir: &Path, name: &ImageName) -> Result<Summary, ImageError> {
    let apart = dir.join("home");
    let home = if dir.join(PROFILE).exists() || !apart.is_dir() { dir } else { &apart };
    of(dir, home, name)
}

fn of(dir: &Path, home: &Path, name: &ImageName) -> Result<Summary, ImageError> {
    let meta = fs::metadata(home).map_err(ImageError::io("read", home))?;
    let (entries, size) = walk(dir)?;
    let step = from_id(&name.to_string().into());
    Ok(Summary { made: Time(meta.ctime()), owner: meta.uid(), entries, size, step })
}

fn walk(root: &Path) -> Result<(u64, u64), ImageError> {
    let (mut entries, mut size) = (0, 0);
    let mut several = std::collections::HashSet::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        let failed = |error| ImageError::io("read", &dir)(error);
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let meta = entry.metadata().map_err(failed)?;
            entries += 1;
            if meta.nlink() == 1 || meta.is_dir() || several.insert((meta.dev(), meta.ino())) {
                size += meta.blocks() * 512;
            }
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok((entries, size))
}
