//! What was found in the root of late. The kernel asks for those names at each path; most often nothing has
//! changed, and then there is nothing to look at below.
//!
//! That nothing has changed is known because everything that has is told ([`crate::changes`]), what we did
//! ourselves included, and is applied here before the look-up that comes after it is answered. Only mounts are told
//! by nobody: so nothing is remembered for longer than [`TRUST`].
use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use parking_lot::RwLock;

use super::{Entry, FileSystem, Place};
use crate::backing::{self, HandleKey};
use crate::platform::Change;
use crate::view::View;

/// How long a mount below may go unnoticed.
const TRUST: Duration = Duration::from_millis(100);
/// So many users are remembered at once.
const USERS: usize = 256;
/// So many names of each.
const NAMES: usize = 1024;

/// The names by uid.
#[derive(Debug, Default)]
pub(super) struct FirstNames {
    /// The scoreboard, if changes of its links are told.
    scoreboard: Option<HandleKey>,
    users: RwLock<HashMap<u32, Names>>,
}

/// What one user found.
#[derive(Debug)]
struct Names {
    /// Changes of these are changes of everything: the home and what is shown of it.
    above: [HandleKey; 2],
    found: HashMap<OsString, (Entry, Instant)>,
}

impl FirstNames {
    /// Remembers nothing unless changes of the links in the directory `scoreboard` are told.
    pub(super) fn new(scoreboard: Option<HandleKey>) -> Self {
        Self { scoreboard, users: RwLock::default() }
    }

    /// What `uid` found under `name`.
    pub(super) fn get(&self, uid: u32, name: &OsStr) -> Option<Entry> {
        let users = self.users.read();
        let (entry, since) = users.get(&uid)?.found.get(name)?;
        (since.elapsed() < TRUST).then_some(*entry)
    }

    /// Remembers what `uid` found under `name` in `place`, provided `is_true` still holds once nobody can apply a
    /// change any more.
    fn put(&self, uid: u32, place: &Place, name: &OsStr, entry: &Entry, is_true: impl FnOnce() -> bool) {
        if self.scoreboard.is_none() {
            return;
        }
        let mut users = self.users.write();
        if !is_true() {
            return;
        }
        if users.len() >= USERS && !users.contains_key(&uid) {
            users.clear();
        }
        let names = match users.entry(uid) {
            Occupied(names) => names.into_mut(),
            Vacant(free) => {
                let Ok(Some(above)) = above(&place.view, &place.dir) else { return };
                free.insert(Names { above, found: HashMap::new() })
            }
        };
        if names.found.len() >= NAMES {
            names.found.clear();
        }
        names.found.insert(name.to_owned(), (*entry, Instant::now()));
    }

    /// Forgets what is no longer true after `change`; `nodes` are those of its object.
    pub(super) fn apply(&self, change: &Change, nodes: &[u64]) {
        let Some(scoreboard) = &self.scoreboard else { return };
        let object = match change {
            Change::Name(directory, _) => directory,
            Change::Object(object) => object,
            Change::Lost => return self.users.write().clear(),
        };
        if object == scoreboard {
            return self.users.write().clear();
        }
        let concerns = |names: &Names| names.above.contains(object);
        if self.users.read().values().any(concerns) {
            self.users.write().retain(|_, names| !concerns(names));
        }
        if !nodes.is_empty() {
            let is_one = |entry: &Entry| nodes.contains(&entry.attributes.stat.ino);
            self.users
                .write()
                .values_mut()
                .for_each(|names| names.found.retain(|_, found| !is_one(&found.0)));
        }
    }
}

fn above(view: &View, root: &Arc<OwnedFd>) -> Result<Option<[HandleKey; 2]>, Errno> {
    let home = backing::handle_of(view.home().as_fd())?;
    let root = backing::handle_of(root.as_fd())?;
    Ok(home.zip(root).map(|(home, root)| [home.key(), root.key()]))
}

impl FileSystem {
    /// What `uid` found under `name` in the root, if that is known to be there still; counted once more.
    pub(super) fn found_of_late(&self, uid: u32, name: &OsStr) -> Option<Entry> {
        let entry = self.first_names.get(uid, name)?;
        self.nodes.count_first(entry.attributes.stat.ino).then_some(entry)
    }

    /// Remembers what `uid` found under `name` in the root, where anybody may look names up. `lots` is how often
    /// changes had been read before that was looked at.
    pub(super) fn remember(&self, uid: u32, place: &Place, name: &OsStr, entry: &Entry, lots: u64) {
        let lasting = place.covered && !entry.attributes.lifetime.is_zero();
        let searchable = |root| place.view.lets_everyone_search(place.dir.as_fd(), &root);
        if lasting && place.root.is_some_and(searchable) {
            self.first_names.put(uid, place, name, entry, || self.changes.lots() == lots);
        }
    }
}
