//! Moves results from one store to another, of whatever kinds they are.
//!
//! A result goes after what it was made from, and onto a clone of that: so both stores share between them what
//! they can. What is there already stays, so that a copy that was stopped goes on where it was.
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Claim, Draft, Entry, Finished, Store, StoreError};
use crate::step::StepId;
use crate::transfer::clone::clone_onto;

/// What was copied just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// A result.
    Result(StepId),
    /// A cache, by its own name.
    Cache(OsString),
}

/// How much was copied, and how much was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Results that were copied.
    pub copied: usize,
    /// Results that were there.
    pub skipped: usize,
    /// Caches that were copied.
    pub caches: usize,
}

/// Copies the results `ids`, and whatever they were made from, to `to`; all results and all caches if there are no
/// `ids`. Each that was copied is told to `told`.
///
/// # Errors
/// One of them is not there, or a store cannot be read or written. What was copied until then stays.
pub fn copy(
    from: &dyn Store,
    to: &dyn Store,
    ids: &[StepId],
    mut told: impl FnMut(&Copied),
) -> Result<Counts, StoreError> {
    let same = |dir: &Path| fs::canonicalize(dir).ok();
    if same(from.dir()).is_some_and(|dir| Some(dir) == same(to.dir())) {
        return Err(StoreError::SameStore { dir: from.dir().to_owned() });
    }
    let mut counts = Counts::default();
    let entries = from.list()?;
    for entry in in_order(&entries, ids, from.dir())? {
        if copy_result(from, to, entry)? {
            told(&Copied::Result(entry.id.clone()));
            counts.copied += 1;
        } else {
            counts.skipped += 1;
        }
    }
    if ids.is_empty() {
        for name in from.caches()? {
            let name = from.cache_title(&name);
            copy_cache(from, to, &name)?;
            told(&Copied::Cache(name));
            counts.caches += 1;
        }
    }
    to.sync()?;
    Ok(counts)
}

/// The results `ids` (all if there are none) and those they were made from, each after its parent.
fn in_order<'a>(entries: &'a [Entry], ids: &[StepId], dir: &Path) -> Result<Vec<&'a Entry>, StoreError> {
    let by_id: HashMap<&StepId, &Entry> = entries.iter().map(|entry| (&entry.id, entry)).collect();
    let missing = |id: &StepId| StoreError::NoResult { dir: dir.to_owned(), id: id.clone() };
    let wanted: Vec<&Entry> = match ids {
        [] => entries.iter().collect(),
        ids => ids
            .iter()
            .map(|id| by_id.get(id).copied().ok_or_else(|| missing(id)))
            .collect::<Result<_, _>>()?,
    };
    let (mut order, mut seen) = (Vec::new(), HashSet::new());
    for entry in wanted {
        let mut chain = Vec::new();
        let mut next = Some(entry);
        while let Some(entry) = next.filter(|entry| seen.insert(&entry.id)) {
            chain.push(entry);
            next = entry.parent.as_ref().and_then(|parent| by_id.get(parent)).copied();
        }
        order.extend(chain.into_iter().rev());
    }
    Ok(order)
}

/// False if it is there.
fn copy_result(from: &dyn Store, to: &dyn Store, entry: &Entry) -> Result<bool, StoreError> {
    // It may have been deleted since it was listed.
    let Some(original) = from.peek(&entry.id)? else { return Ok(false) };
    if to.peek(&entry.id)?.is_some() {
        return Ok(false);
    }
    let mut base = entry.parent.as_ref();
    if let Some(parent) = base
        && to.peek(parent)?.is_none()
    {
        base = None;
    }
    let Claim::Build(draft) = to.claim(&entry.id, base)? else { return Ok(false) };
    fill(draft.as_ref(), &original)?;
    draft.keep()?;
    to.stamp(entry)?;
    Ok(true)
}

fn fill(draft: &dyn Draft, original: &Finished) -> Result<(), StoreError> {
    clone_onto(&original.tree()?, &draft.rootfs())?;
    for (from, to) in [(original.log(), draft.log()), (original.env(), draft.env())] {
        match fs::copy(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => {}
            done => drop(done.map_err(|e| StoreError::io("write", to, e))?),
        }
    }
    Ok(())
}

fn copy_cache(from: &dyn Store, to: &dyn Store, name: &OsStr) -> Result<(), StoreError> {
    // Whoever uses a cache gives its root to the user of his step.
    let (original, copy) = (from.cache(name, (0, 0))?, to.cache(name, (0, 0))?);
    clone_onto(original.dir(), copy.dir())?;
    original.abandon()?;
    copy.release()
}
