//! What was found in the root of late. The kernel asks for those names at each path; most often nothing has
//! changed, and then there is nothing to look at below.
//!
//! That nothing has changed is known because what changes is told ([`crate::changes`]), what we did ourselves
//! included, and is applied here before the look-up that comes after it is answered. Reading and stores through
//! memory are not told, so nothing is remembered of what somebody has open through the mount; nor the new name of
//! another hard link, nor that a symlink was followed: only directories and files with one name are remembered.
//! What remains nobody tells of: mounts, and reads, stores through memory and `chattr(1)` behind the mount. So nothing
//! is remembered for longer than [`TRUST`].
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use parking_lot::RwLock;

use super::{Entry, FileSystem, Place};
use crate::backing::{self, HandleKey, S_IFREG};
use crate::nodes::Node;
use crate::platform::Change;

/// How long what nobody tells of may go unnoticed.
const TRUST: Duration = Duration::from_millis(100);
/// So many names are remembered; then it is begun anew.
const NAMES: usize = 8192;

/// The names by uid.
#[derive(Debug, Default)]
pub(super) struct FirstNames {
    /// The scoreboard, if changes of its links are told.
    scoreboard: Option<HandleKey>,
    remembered: RwLock<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    users: HashMap<u32, Names>,
    /// Whatever is remembered is untrue only after one of these has changed.
    objects: HashSet<HandleKey>,
    /// How much was remembered since it was begun.
    noted: usize,
}

/// What one user found.
#[derive(Debug)]
struct Names {
    /// What leads there: the link, the home, and what is shown of it.
    above: Vec<HandleKey>,
    found: HashMap<OsString, Found>,
}

#[derive(Debug)]
struct Found {
    entry: Entry,
    node: Weak<Node>,
    object: HandleKey,
    since: Instant,
}

impl Remembered {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self, object: &HandleKey) {
        self.objects.remove(object);
        self.users.retain(|_, names| !names.above.contains(object));
        for names in self.users.values_mut() {
            names.found.retain(|_, found| found.object != *object);
        }
    }

    fn note(&mut self, (uid, above): (u32, Vec<HandleKey>), name: &OsStr, found: Found) {
        if self.noted >= NAMES {
            self.clear();
        }
        self.noted += 1;
        self.objects.extend(above.iter().chain([&found.object]).cloned());
        let names = self.users.entry(uid).or_insert_with(|| Names { above, found: HashMap::new() });
        names.found.insert(name.to_owned(), found);
    }
}

impl FirstNames {
    /// Remembers nothing unless changes of the links in the directory `scoreboard` are told.
    pub(super) fn new(scoreboard: Option<HandleKey>) -> Self {
        Self { scoreboard, remembered: RwLock::default() }
    }

    /// What `uid` found under `name`.
    fn get(&self, uid: u32, name: &OsStr) -> Option<(Entry, Arc<Node>)> {
        let remembered = self.remembered.read();
        let found = remembered.users.get(&uid)?.found.get(name)?;
        (found.since.elapsed() < TRUST).then(|| Some((found.entry, found.node.upgrade()?)))?
    }

    /// What is known to lead to `uid`'s names.
    fn above(&self, uid: u32) -> Option<Vec<HandleKey>> {
        self.remembered.read().users.get(&uid).map(|names| names.above.clone())
    }

    /// Forgets what is no longer true after `change`.
    pub(super) fn apply(&self, change: &Change) {
        match change {
            Change::Lost => self.remembered.write().clear(),
            // A link came or went. Others may make files there that are no links, if it is sticky.
            Change::Name(directory, name) if self.scoreboard.as_ref() == Some(directory) => {
                let uid = name.to_str().and_then(|name| name.parse().ok());
                if let Some(uid) = uid {
                    self.remembered.write().users.remove(&uid);
                }
            }
            Change::Name(object, _) | Change::Object(object) => self.forget(object),
        }
    }

    fn forget(&self, object: &HandleKey) {
        // Hardly any change concerns us.
        let concerned = self.remembered.read().objects.contains(object);
        if concerned {
            self.remembered.write().forget(object);
        }
    }
}

impl FileSystem {
    /// What `uid` found under `name` in the root, if that is known to be there still; counted once more.
    pub(super) fn found_of_late(&self, uid: u32, name: &OsStr) -> Option<Entry> {
        let (entry, node) = self.first_names.get(uid, name)?;
        self.nodes.count_first(&node).then_some(entry)
    }

    /// `node` was opened through the mount: from now on it may change without a word.
    pub(super) fn forget_first(&self, node: &Node) {
        if node.is_in_root()
            && let Some(object) = node.key()
        {
            // Whoever looked before it was open may not note it any more.
            self.changes.pass_over();
            self.first_names.forget(&object);
        }
    }

    /// Remembers what `uid` found under `name` in the root, where anybody may look names up. `lots` is how often
    /// changes had been read before that was looked at.
    ///
    /// # Errors
    /// As `name_to_handle_at(2)`, for what leads there.
    pub(super) fn remember(
        &self,
        uid: u32,
        place: &Place,
        name: &OsStr,
        entry: &Entry,
        lots: u64,
    ) -> Result<(), Errno> {
        let stat = &entry.attributes.stat;
        let told = stat.is_dir() || (stat.kind() == S_IFREG && stat.nlink == 1);
        let searchable = |root| place.view.lets_everyone_search(place.dir.as_fd(), &root);
        let lasting = place.covered && !entry.attributes.lifetime.is_zero();
        if self.first_names.scoreboard.is_none() || !told || !lasting || !place.root.is_some_and(searchable) {
            return Ok(());
        }
        let node = self.nodes.get(stat.ino)?;
        let Some(object) = node.key() else { return Ok(()) };
        let above = match self.first_names.above(uid) {
            Some(above) => above,
            None => self.above(uid, place)?,
        };
        let found = Found { entry: *entry, node: Arc::downgrade(&node), object, since: Instant::now() };
        let mut remembered = self.first_names.remembered.write();
        // Only now can nobody read a change and apply it before this is noted.
        if self.changes.lots() == lots && !node.is_open() {
            remembered.note((uid, above), name, found);
        }
        Ok(())
    }

    /// What leads to `place`, the root of `uid`'s tree.
    fn above(&self, uid: u32, place: &Place) -> Result<Vec<HandleKey>, Errno> {
        let link = self.views.link(uid)?;
        let home = backing::handle_of(place.view.home().as_fd())?.map(|home| home.key());
        let root = backing::handle_of(place.dir.as_fd())?.map(|root| root.key());
        Ok([link, home, root].into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Attributes;

    fn key(number: u32) -> HandleKey {
        HandleKey::new(1, &number.to_ne_bytes())
    }

    /// What uid 1000 and the number found under its number, in a home of its own, that is one object for all.
    fn note(names: &FirstNames, number: u32) {
        let attributes = Attributes { stat: backing::Stat::default(), lifetime: TRUST };
        let entry = Entry { attributes, name_lifetime: Duration::ZERO };
        let found = Found { entry, node: Weak::new(), object: key(0), since: Instant::now() };
        let name = OsString::from(number.to_string());
        names.remembered.write().note((1000 + number, vec![key(1000 + number)]), &name, found);
    }

    fn remembered(names: &FirstNames) -> Vec<u32> {
        let remembered = names.remembered.read();
        let found = remembered.users.iter().filter(|(_, names)| !names.found.is_empty());
        let mut uids: Vec<u32> = found.map(|(uid, _)| *uid).collect();
        uids.sort_unstable();
        uids
    }

    fn three() -> FirstNames {
        let names = FirstNames::new(Some(key(1)));
        (0..3).for_each(|number| note(&names, number));
        names
    }

    #[test]
    fn a_change_takes_away_what_it_may_make_untrue_and_no_more() {
        let left = |change: Change| {
            let names = three();
            names.apply(&change);
            remembered(&names)
        };
        assert_eq!(left(Change::Object(key(7))), [1000, 1001, 1002]);
        assert_eq!(left(Change::Object(key(1001))), [1000, 1002], "a home");
        assert_eq!(left(Change::Name(key(1001), "x".into())), [1000, 1002], "what is in a home");
        assert_eq!(left(Change::Object(key(0))), [0; 0], "what they have found");
        assert_eq!(left(Change::Name(key(1), "1002".into())), [1000, 1001], "a link");
        assert_eq!(left(Change::Name(key(1), "1002.new".into())), [1000, 1001, 1002], "no link");
        assert_eq!(left(Change::Lost), [0; 0]);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let names = FirstNames::new(Some(key(1)));
        let most = (0..3 * NAMES as u32).map(|number| {
            note(&names, number);
            names.remembered.read().users.len()
        });
        assert_eq!(most.max(), Some(NAMES));
    }
}
