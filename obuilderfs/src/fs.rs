//! The operations, free of the FUSE protocol's types: what each request does to whose tree.
//!
//! Every operation finds its view and its object with the daemon's rights, and acts on it with the caller's.
mod attributes;
mod coherence;
mod control;
mod data;
mod directories;
mod first_names;
mod handles;
mod nameless;
mod namespace;
mod retirement;
mod root;
mod set_ids;
mod shares;
mod status;
mod walkers;
mod xattrs;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::errno::Errno;
use parking_lot::Mutex;

use crate::backing::{self, Stat};
use crate::caller::{Caller, as_daemon, with_ids};
use crate::changes::Changes;
use crate::nodes::{CONTROL, Node, Nodes, ROOT, Where};
use crate::platform::{self, Kernel};
use crate::statistics::Statistics;
use crate::view::{View, constant_directory};
use crate::views::Views;

pub(crate) use attributes::{Change, TimeChange};
pub(crate) use control::NAME as CONTROL_NAME;
pub(crate) use data::OpenFile;
use directories::OpenDir;
pub(crate) use status::STATUS;

use control::Tokens;
use first_names::FirstNames;
use handles::Handles;
use shares::Shares;
use walkers::Walkers;

/// For how long the kernel may use names and attributes below the root of a shared mount without asking.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lifetimes {
    pub(crate) name: Duration,
    pub(crate) attributes: Duration,
    pub(crate) absence: Duration,
}

/// In a private view everything is kept: whatever changes it goes through the kernel that keeps it.
const FOREVER: Duration = Duration::from_secs(86_400);

/// How many descriptors may be held at the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptors {
    /// For objects that were used of late.
    pub(crate) recent: usize,
    /// For open files and directories.
    pub(crate) open: usize,
}

/// The file system.
#[derive(Debug)]
pub(crate) struct FileSystem {
    views: Views,
    nodes: Nodes,
    files: Handles<OpenFile>,
    directories: Handles<OpenDir>,
    shares: Arc<Shares>,
    tokens: Tokens,
    walkers: Walkers,
    /// Tasks on their way into the root.
    movers: Mutex<VecDeque<root::Mover>>,
    first_names: FirstNames,
    shared: Lifetimes,
    changes: Arc<Changes>,
    kernel: OnceLock<Kernel>,
    pub(crate) statistics: Statistics,
}

/// An object under a name, as the kernel is told of it; counted as looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) attributes: Attributes,
    pub(crate) name_lifetime: Duration,
}

/// What the kernel is told of an object: `stat.ino` is the node id, owners are as shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) stat: Stat,
    pub(crate) lifetime: Duration,
}

/// What a look-up found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lookup {
    /// The object.
    Found(Entry),
    /// Nothing, and the kernel may remember that for so long.
    Absent(Duration),
}

/// A directory in which something is done: whose, and where below.
#[derive(Debug)]
struct Place {
    view: Arc<View>,
    dir: Arc<OwnedFd>,
    /// If it is the mount point, which all views share: the metadata of what this view shows there.
    root: Option<Stat>,
    /// Names that change in it become known.
    covered: bool,
}

impl FileSystem {
    /// Serves `views`.
    pub(crate) fn new(
        views: Views,
        shared: Lifetimes,
        mut changes: Changes,
        descriptors: Descriptors,
    ) -> Self {
        changes.mind_own(views.overlapping());
        let first_names = FirstNames::new(views.watched_scoreboard(|directory| changes.cover(directory)));
        Self {
            views,
            nodes: Nodes::new(descriptors.recent),
            files: Handles::default(),
            directories: Handles::default(),
            shares: Shares::new(descriptors.open),
            tokens: Tokens::default(),
            walkers: Walkers::default(),
            movers: Mutex::default(),
            first_names,
            shared,
            changes: Arc::new(changes),
            kernel: OnceLock::new(),
            statistics: Statistics::default(),
        }
    }

    /// The kernel takes back `count` look-ups of `id`.
    pub(crate) fn forget(&self, id: u64, count: u64) {
        self.nodes.forget(id, count);
    }

    /// `told`: whether the kernel would hear of changes made behind the mount.
    fn lifetimes(&self, view: &View, told: bool) -> Lifetimes {
        if view.private || told {
            Lifetimes { name: FOREVER, attributes: FOREVER, absence: FOREVER }
        } else {
            self.shared
        }
    }

    /// The directory `parent`, for an operation of `caller`'s in it.
    fn place(&self, caller: &Caller, parent: u64) -> Result<Place, Errno> {
        match parent {
            ROOT => {
                let view = self.views.of(caller.uid)?;
                let covered = view.cover(|home| self.changes.cover(home));
                let (dir, stat) = view.root_now()?;
                Ok(Place { view, dir, root: Some(stat), covered })
            }
            CONTROL => Err(Errno::EPERM),
            id => {
                let node = self.nodes.get(id)?;
                let covered = node.is_covered();
                // Removed a moment ago, unless the kernel may have come here by a name that is out of date.
                let fresh = covered || node.view.private || self.shared.name.is_zero();
                let gone = |e| if e == Errno::ESTALE && fresh { Errno::ENOENT } else { e };
                let dir = self.nodes.anchor(&node).map_err(gone)?;
                Ok(Place { view: Arc::clone(&node.view), dir, root: None, covered })
            }
        }
    }

    /// The directory `parent`, for an operation of `caller`'s that makes or takes away `name` in it.
    ///
    /// # Errors
    /// `EPERM` for the control directory: the kernel, which keeps it under its name, would hold it for removed.
    fn place_of(&self, caller: &Caller, parent: u64, name: &OsStr) -> Result<Place, Errno> {
        if parent == ROOT && name == control::NAME { Err(Errno::EPERM) } else { self.place(caller, parent) }
    }

    /// The object `id` and a descriptor that names it; the root is the caller's own.
    fn object(&self, caller: &Caller, id: u64) -> Result<(Arc<View>, Arc<OwnedFd>), Errno> {
        if id == ROOT {
            let view = self.views.of(caller.uid)?;
            let root = view.root()?;
            return Ok((view, root));
        }
        let node = self.nodes.get(id)?;
        let anchor = self.nodes.anchor(&node)?;
        Ok((Arc::clone(&node.view), anchor))
    }

    /// Looks `name` up in `place` with the rights the thread has, and counts it.
    fn entry(&self, place: &Place, name: &OsStr) -> Result<Entry, Errno> {
        let (node, stat) = match self.found_again(place, name)? {
            Some(known) => known,
            None => {
                let lots = self.changes.lots();
                let anchor = backing::anchor(place.dir.as_fd(), name)?;
                let stat = backing::stat(anchor.as_fd())?;
                self.found_as(place, anchor, (stat, lots))?
            }
        };
        if place.at_root() {
            place.view.note_first_name(name);
        }
        Ok(self.entry_of(&node, &stat, place))
    }

    /// The node of the object under `name` in `place`, and its metadata, if it is known there already.
    fn found_again(&self, place: &Place, name: &OsStr) -> Result<Option<(Arc<Node>, Stat)>, Errno> {
        // A name that the kernel may keep is hardly ever asked for twice.
        if self.found_in(place) == Where::Kept {
            return Ok(None);
        }
        let lots = self.changes.lots();
        let Some((handle, stat)) = backing::glance(place.dir.as_fd(), name)? else { return Ok(None) };
        let Some(node) = self.nodes.found_again(&place.view, &handle, &stat, place.at_root()) else {
            return Ok(None);
        };
        if self.is_fresh(place, lots) {
            return Ok(Some((node, stat)));
        }
        self.nodes.forget(node.id, 1);
        Ok(None)
    }

    /// The node of the object `anchor` holds, found in `place`, and its metadata, which were `stat` since `lots`.
    fn found_as(
        &self,
        place: &Place,
        anchor: OwnedFd,
        (stat, lots): (Stat, u64),
    ) -> Result<(Arc<Node>, Stat), Errno> {
        let node = self.nodes.found(&place.view, anchor, &stat, self.found_in(place))?;
        if self.is_fresh(place, lots) {
            return Ok((node, stat));
        }
        let again = self.nodes.anchor(&node).and_then(|anchor| backing::stat(anchor.as_fd()));
        Ok((Arc::clone(&node), again.inspect_err(|_| self.nodes.forget(node.id, 1))?))
    }

    /// Whether what was seen of an object in `place` since `lots` is what its node, which is known by now, has to
    /// tell. A change that was read meanwhile may have been this object's, and then there was no node to tell of it.
    fn is_fresh(&self, place: &Place, lots: u64) -> bool {
        !place.covered || self.changes.lots() == lots
    }

    /// What a look-up in `place` means to the node found.
    fn found_in(&self, place: &Place) -> Where {
        match place.at_root() {
            true => Where::Root,
            false if self.lifetimes(&place.view, place.covered).name.is_zero() => Where::Asked,
            false => Where::Kept,
        }
    }

    fn entry_of(&self, node: &Arc<Node>, stat: &Stat, place: &Place) -> Entry {
        let lifetime = self.lifetimes(&node.view, place.covered).name;
        Entry {
            attributes: self.shown(node, stat),
            // The same name means another object to the next uid.
            name_lifetime: if place.at_root() || !node.may_be_kept() { Duration::ZERO } else { lifetime },
        }
    }

    /// `stat` as the users of the node's view see it.
    fn shown(&self, node: &Arc<Node>, below: &Stat) -> Attributes {
        let stat = Stat { ino: node.id, uid: node.view.uid_shown(below.uid), ..*below };
        let lifetime = self.lifetimes(&node.view, node.is_covered()).attributes;
        let may_change = node.may_be_mapped() || node.is_outdated();
        if may_change && node.lost_mappings(|| self.is_written(node, below.uid)) {
            // What was found out before the last store may be on its way still, as `below` is.
            self.expire_attributes(node.id);
        }
        Attributes { stat, lifetime: if may_change { Duration::ZERO } else { lifetime } }
    }

    /// What the kernel keeps of the node's attributes, and what it is being told of them, is out of date.
    fn expire_attributes(&self, id: u64) {
        if let Some(kernel) = self.kernel.get() {
            kernel.expire_attributes(id);
        }
    }

    /// Whether anybody can write to the file, whose owner below is `owner`. If that cannot be found out, somebody
    /// can.
    fn is_written(&self, node: &Arc<Node>, owner: u32) -> bool {
        let asked = as_daemon(|| backing::open_to_ask(self.nodes.anchor(node)?.as_fd()))
            .and_then(|file| with_ids(owner, 0, || backing::may_be_written(&file)));
        asked.unwrap_or(true)
    }

    /// What everyone is told of the root and of the control directory. Everything is allowed in the root: who
    /// may do what there is decided below, by the caller's own tree.
    fn constant(id: u64) -> Attributes {
        let (mode, gid) = if id == CONTROL { (0o700, 0) } else { (platform::ROOT_MODE, platform::ROOT_GID) };
        Attributes { stat: Stat { gid, ..constant_directory(id, mode) }, lifetime: FOREVER }
    }
}
