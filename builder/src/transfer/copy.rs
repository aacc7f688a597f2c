//! Puts what a `copy` step names into a tree, without any program of that tree.
//!
//! What is copied gets normal modes (directories 0755; files 0755 if their owner may run them, else 0644; no
//! set-id bits), the given owner, and the modification time of its source. Directories that are there already
//! keep owner, mode and time. Directories made on the way have the time 0, so that equal steps make equal trees.
mod destination;
mod item;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::TransferError;
use super::rooted::Place;
use crate::step::manifest::Manifest;
use destination::Destination;
use item::Copying;

/// What to copy, and where.
#[derive(Debug, Clone, Copy)]
pub struct CopyPlan<'a> {
    /// The items, as listed before; what differs from the list now is refused.
    pub items: &'a [Manifest],
    /// The root of the source tree. Nothing outside it is read.
    pub source: &'a Path,
    /// The tree to copy to. Nothing outside it is written, wherever links in it point.
    pub rootfs: &'a Path,
    /// The destination inside `rootfs`: absolute, or relative to its root.
    pub dst: &'a Path,
    /// Whether the items go into `dst` under their own names (it ended in `/`), or the one item becomes `dst`.
    pub into: bool,
    /// User and group of all that is made.
    pub owner: (u32, u32),
}

/// Copies as `plan` says.
///
/// An item that is to become `dst` goes *into* it where `dst` is a directory already (or, being a directory
/// itself, is merged with it), as with cp(1). Files and links replace files and links.
///
/// # Errors
/// A source is gone, changed or behind a link; something is in the way of the destination; something cannot be
/// read or written. What was copied until then stays.
pub fn copy_into(plan: &CopyPlan<'_>) -> Result<(), TransferError> {
    let open = |path| Place::root(path).map_err(|e| TransferError::io("open", path, e));
    let root = open(plan.rootfs)?;
    let mut copying = Copying::new(plan, open(plan.source)?);
    let mut destination = Destination::new(plan);
    if plan.into || names_directory(plan.dst) {
        let place = destination.reach(&root, plan.dst.as_os_str())?;
        for item in plan.items {
            if is_root(item) && destination.was_made(&place) {
                copying.become_directory(item, &place)?;
                destination.disown(&place);
            } else {
                copying.put_into(item, &place)?;
            }
        }
    } else {
        let [item] = plan.items else { return Err(TransferError::ManyToOne) };
        let (parent, name) = split(plan.dst);
        let parent = destination.reach(&root, parent)?;
        match parent.walk(name, &mut |_, _| Err(io::ErrorKind::NotFound.into())) {
            Ok(existing) => {
                destination.keep(&existing)?;
                copying.put_into_or_merge(item, &existing)?;
            }
            Err(_) => copying.put_as(item, &parent, name)?,
        }
    }
    destination.settle()
}

fn is_root(item: &Manifest) -> bool {
    matches!(item, Manifest::Dir { path, .. } if path.is_empty())
}

/// Whether the last part of `path` can only be a directory.
fn names_directory(path: &Path) -> bool {
    matches!(path.as_os_str().as_bytes().rsplit(|&b| b == b'/').next(), None | Some(b"" | b"." | b".."))
}

/// The directory part, empty or ending in `/`, and the last name.
fn split(path: &Path) -> (&OsStr, &OsStr) {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    (OsStr::from_bytes(&bytes[..start]), OsStr::from_bytes(&bytes[start..]))
}

#[cfg(test)]
mod tests;
