//! Whether a store is whole: what its database says, and what its results hold.
//!
//! What a result holds is known by its digest, written down in `state/digests/ID` when it is first looked into.
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Entry, Finished, StoreError, StoreUrl, backend, doctor};
use crate::transfer::digest::digest;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// A word for what it is, for programs.
    pub kind: &'static str,
    /// What is wrong, and with what.
    pub what: String,
}

/// How far to look, and what was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many results there are.
    pub results: usize,
    /// How many were compared with what they held when they were first looked into.
    pub compared: usize,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

/// Looks at the store at `url`; with `deep`, at every byte in it too.
///
/// # Errors
/// There is no store, or it cannot be read at all.
pub fn verify(url: &StoreUrl, deep: bool) -> Result<Verified, StoreError> {
    let url = &super::auto::choose(url)?.url;
    let mut verified = Verified::default();
    for finding in doctor::examine(url)? {
        verified.flaws.push(Flaw { kind: finding.kind(), what: finding.to_string() });
    }
    let store = super::open_existing(url)?;
    let backend = backend(url)?;
    let entries = store.list()?;
    let digests = Digests { dir: url.dir().join("state/digests") };
    for entry in &entries {
        let Some(result) = store.peek(&entry.id)? else { continue };
        verified.results += 1;
        let mut flaws = structure(entry, &result);
        if let Some(what) = backend.flaw(&result.dir)? {
            flaws.push(Flaw { kind: "kind", what });
        }
        if deep && flaws.is_empty() {
            match digests.compare(entry, &result) {
                Ok(Known::New) => {}
                Ok(Known::Same) => verified.compared += 1,
                Ok(Known::Changed) => {
                    let what = format!("the result {} is not what it was: its files were changed", entry.id);
                    flaws.push(Flaw { kind: "changed", what });
                }
                Err(error) => flaws.push(Flaw { kind: "unreadable", what: error.to_string() }),
            }
        }
        verified.flaws.extend(flaws);
    }
    if deep {
        digests.sweep(&entries)?;
    }
    Ok(verified)
}

/// Whether all parts of a result are there.
fn structure(entry: &Entry, result: &Finished) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    match result.tree() {
        Ok(tree) if tree.is_dir() => {}
        Ok(_) => {
            flaws.push(Flaw { kind: "tree", what: format!("the result {} has no tree", entry.id) });
        }
        Err(error) => flaws.push(Flaw { kind: "tree", what: error.to_string() }),
    }
    for (name, path) in [("log", result.log()), ("env", result.env())] {
        if let Err(error) = fs::File::open(&path) {
            let what = StoreError::io("read", path, error).to_string();
            flaws.push(Flaw { kind: name, what });
        }
    }
    flaws
}

/// What results held when they were first looked into.
struct Digests {
    dir: PathBuf,
}

enum Known {
    New,
    Same,
    Changed,
}

impl Digests {
    /// A result that was made anew since may hold other times: it is another.
    fn compare(&self, entry: &Entry, result: &Finished) -> Result<Known, StoreError> {
        let now = format!("{} {}", entry.created.0, digest(&result.tree()?)?);
        let path = self.dir.join(entry.id.as_str());
        match fs::read_to_string(&path) {
            Ok(then) if then == now => return Ok(Known::Same),
            Ok(then) if made(&then) == made(&now) && made(&then).is_some() => return Ok(Known::Changed),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("read", path, error));
            }
            _ => {}
        }
        write(&self.dir, &path, &now).map(|()| Known::New)
    }

    /// Forgets results that are gone.
    fn sweep(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let there: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        for digest in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if !digest.file_name().to_str().is_some_and(|name| there.contains(name)) {
                fs::remove_file(digest.path()).map_err(|e| StoreError::io("remove", digest.path(), e))?;
            }
        }
        Ok(())
    }
}

/// When a result was made whose digest this is.
fn made(text: &str) -> Option<&str> {
    text.split_once(' ').map(|(made, _)| made)
}

fn write(dir: &Path, path: &Path, text: &str) -> Result<(), StoreError> {
    let draft = path.with_extension("new");
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(&draft, text))
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|e| StoreError::io("write", path, e))
}
