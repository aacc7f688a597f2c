//! What may go from a store, and in which order: never a result before those that were made from it.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Entry, Store, StoreError, Time};
use crate::step::StepId;

/// Which results [`prune`] leaves: one goes only if every rule lets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// At least so many stay.
    pub keep: Option<usize>,
    /// Those that were used within this time stay.
    pub older_than: Option<Duration>,
    /// None goes once so much of the file system is free, in per cent.
    pub free: Option<u8>,
}

/// What [`clean`] and [`prune`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many results went.
    pub removed: usize,
    /// How many stayed as builds are using them; what they were made from stays with them.
    pub in_use: usize,
}

/// Removes `id` and whatever was made from it; each is told to `going` before it goes. Returns how many went.
///
/// # Errors
/// One of them is in use, or cannot be removed; those before it are gone.
pub fn delete(store: &dyn Store, id: &StepId, mut going: impl FnMut(&StepId)) -> Result<usize, StoreError> {
    let entries = store.list()?;
    let mut children: HashMap<&StepId, Vec<&StepId>> = HashMap::new();
    for entry in &entries {
        if let Some(parent) = &entry.parent {
            children.entry(parent).or_default().push(&entry.id);
        }
    }
    let (mut order, mut seen) = (vec![id], HashSet::from([id]));
    let mut next = 0;
    while let Some(parent) = order.get(next).copied() {
        order.extend(children.get(parent).into_iter().flatten().filter(|child| seen.insert(child)));
        next += 1;
    }
    let known: HashSet<_> = entries.iter().map(|entry| &entry.id).collect();
    let mut removed = 0;
    for id in order.into_iter().rev().filter(|id| known.contains(id)) {
        going(id);
        store.delete(id)?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes everything that no build is using; each result is told to `gone` when it went.
///
/// # Errors
/// Something cannot be removed; what went before it is gone.
pub fn clean(store: &dyn Store, gone: impl FnMut(&StepId)) -> Result<Removed, StoreError> {
    remove(store, gone, |_, _| Ok(true))
}

/// Removes the least recently used results, as far as `rules` let it. What a build is using stays, and so does
/// whatever others were made from as long as those stay. Each that went is told to `gone`.
///
/// # Errors
/// Something cannot be removed, or the file system cannot be asked how full it is; what went before is gone.
pub fn prune(store: &dyn Store, rules: &Rules, gone: impl FnMut(&StepId)) -> Result<Removed, StoreError> {
    let newest = rules.older_than.map(|age| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(now.saturating_sub(age).as_secs().try_into().unwrap_or(i64::MAX))
    });
    remove(store, gone, |entry, left| {
        Ok(rules.keep.is_none_or(|keep| left > keep)
            && newest.is_none_or(|newest| entry.used <= newest)
            && match rules.free {
                Some(percent) => {
                    store.reclaim()?;
                    store.free()? < f64::from(percent)
                }
                None => true,
            })
    })
}

/// Removes results as long as `may_go`, which is given the next one and how many there are, says so.
fn remove(
    store: &dyn Store,
    mut gone: impl FnMut(&StepId),
    may_go: impl Fn(&Entry, usize) -> Result<bool, StoreError>,
) -> Result<Removed, StoreError> {
    let entries = store.list()?;
    let by_id: HashMap<&StepId, usize> =
        entries.iter().enumerate().map(|(n, entry)| (&entry.id, n)).collect();
    let parent = |n: usize| entries[n].parent.as_ref().and_then(|parent| by_id.get(parent)).copied();
    let mut children = vec![0_usize; entries.len()];
    (0..entries.len()).filter_map(parent).for_each(|parent| children[parent] += 1);
    let leaf = |n: usize| Reverse((entries[n].used, &entries[n].id, n));
    let mut leaves: BinaryHeap<_> = (0..entries.len()).filter(|&n| children[n] == 0).map(leaf).collect();
    let mut done = Removed::default();
    while let Some(Reverse((_, id, n))) = leaves.pop() {
        if !may_go(&entries[n], entries.len() - done.removed)? {
            break;
        }
        match store.delete(id) {
            // Others may build on it since it was listed.
            Err(StoreError::InUse { .. } | StoreError::HasChildren { .. }) => {
                done.in_use += 1;
                continue;
            }
            other => other?,
        }
        gone(id);
        done.removed += 1;
        if let Some(parent) = parent(n) {
            children[parent] -= 1;
            if children[parent] == 0 {
                leaves.push(leaf(parent));
            }
        }
    }
    Ok(done)
}
