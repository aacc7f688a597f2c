//! `.obuilderfs`, the directory through which root enters private views: `<uid>-<token>` is that uid's home in
//! a view of its own, with node ids of its own, pinned to the link as it was when the token was first used.
//! Removing the name frees it.
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use parking_lot::Mutex;

use super::{Entry, FOREVER, FileSystem, Lookup};
use crate::backing::{self, Stat};
use crate::caller::{Caller, as_daemon};
use crate::nodes::{CONTROL, Node, Where};

/// The name of the control directory in the root; no listing shows it.
pub(crate) const NAME: &str = ".obuilderfs";

/// Tokens in use and the node of each one's home.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<OsString, u64>>);

impl FileSystem {
    /// The control directory itself.
    pub(super) fn control(caller: &Caller) -> Result<Lookup, Errno> {
        if caller.uid != 0 {
            return Err(Errno::EACCES);
        }
        Ok(Lookup::Found(Entry { attributes: Self::constant(CONTROL), name_lifetime: FOREVER }))
    }

    /// The private view `name` stands for, made at its first look-up.
    pub(super) fn enter(&self, caller: &Caller, name: &OsStr) -> Result<Lookup, Errno> {
        if caller.uid != 0 {
            return Err(Errno::EACCES);
        }
        let uid = uid_of(name).ok_or(Errno::ENOENT)?;
        let mut tokens = self.tokens.0.lock();
        tokens.retain(|_, id| self.nodes.get(*id).is_ok());
        if let Some(node) = tokens.get(name).and_then(|id| self.nodes.count(*id)) {
            let stat = as_daemon(|| backing::stat(self.nodes.anchor(&node)?.as_fd()));
            let stat = stat.inspect_err(|_| self.nodes.forget(node.id, 1))?;
            return Ok(self.found_entered(&node, &stat));
        }
        let view = self.views.private(uid)?;
        let home = view.home().try_clone().map_err(|_| Errno::EMFILE)?;
        let stat = backing::stat(home.as_fd())?;
        let node = self.nodes.found(&view, home, &stat, Where::Kept)?;
        tokens.insert(name.to_owned(), node.id);
        Ok(self.found_entered(&node, &stat))
    }

    fn found_entered(&self, node: &Arc<Node>, stat: &Stat) -> Lookup {
        Lookup::Found(Entry { attributes: self.shown(node, stat), name_lifetime: FOREVER })
    }

    /// The numbers of the private views that have a token.
    pub(super) fn entered(&self) -> HashSet<u32> {
        let tokens = self.tokens.0.lock();
        tokens.values().filter_map(|id| self.nodes.get(*id).ok()).map(|node| node.view.index()).collect()
    }

    /// Ends the private view `name`: whoever still uses it keeps it, new look-ups of the token find another.
    pub(super) fn leave(&self, caller: &Caller, name: &OsStr) -> Result<(), Errno> {
        if caller.uid != 0 {
            return Err(Errno::EACCES);
        }
        self.tokens.0.lock().remove(name).map(drop).ok_or(Errno::ENOENT)
    }
}

/// `<uid>-<token>`, the token not empty.
fn uid_of(name: &OsStr) -> Option<u32> {
    let (uid, token) = name.to_str()?.split_once('-')?;
    let number: u32 = uid.parse().ok()?;
    // One spelling for each uid: no sign, no leading zeroes.
    (!token.is_empty() && number.to_string() == uid).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_view_is_named_by_uid_and_token() {
        assert_eq!(uid_of(OsStr::new("705-x")), Some(705));
        for bad in ["705", "705-", "-x", "x-705", "4294967296-x", "+705-x", "0705-x", ""] {
            assert_eq!(uid_of(OsStr::new(bad)), None, "{bad}");
        }
    }
}
