//! Which view each uid has now, by the scoreboard.
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use parking_lot::{Mutex, RwLock};
use tracing::warn;

use crate::backing::{self, HandleKey};
use crate::caller::as_daemon;
use crate::platform;
use crate::scoreboard::{Link, LinkIdentity, Scoreboard};
use crate::view::{Index, Numbers, View, Whose};

/// The views that new look-ups get, by uid.
#[derive(Debug)]
pub(crate) struct Views {
    scoreboard: Scoreboard,
    /// The directory of each home that is shown; `None`: the home itself.
    subdirectory: Option<Arc<str>>,
    /// Homes under these would be served through ourselves.
    mountpoints: Vec<PathBuf>,
    fallback: Arc<View>,
    current: RwLock<HashMap<u32, Current>>,
    /// Views that a look-up found to be out of date.
    displaced: Mutex<Vec<Weak<View>>>,
    /// Every view that somebody still uses.
    living: Mutex<Vec<Weak<View>>>,
    /// One tree may be seen in more than one of them, or through another mount of this process.
    overlapping: Arc<AtomicBool>,
    numbers: Arc<Mutex<Numbers>>,
}

/// What the table knows of a uid's link: the view it gave, or why it gave none.
#[derive(Debug, Clone)]
struct Current {
    link: LinkIdentity,
    view: Result<Arc<View>, Errno>,
}

impl Views {
    /// Views by `scoreboard` of that `subdirectory` of each home; those without a link see the directory
    /// `fallback` (its path, and open).
    ///
    /// # Errors
    /// The fallback is no directory.
    pub(crate) fn new(
        scoreboard: Scoreboard,
        subdirectory: Option<String>,
        mountpoints: &[PathBuf],
        (path, fallback): (&Path, OwnedFd),
    ) -> Result<Self, Errno> {
        let numbers = Arc::<Mutex<Numbers>>::default();
        let whose = Whose { uid: None, path: path.to_owned(), subdirectory: None };
        let fallback = Arc::new(View::open(Index::new(&numbers), whose, fallback, false)?);
        Ok(Self {
            scoreboard,
            subdirectory: subdirectory.map(Arc::from),
            mountpoints: mountpoints.to_owned(),
            living: Mutex::new(vec![Arc::downgrade(&fallback)]),
            overlapping: Arc::new(AtomicBool::new(mountpoints.len() > 1)),
            fallback,
            current: RwLock::default(),
            displaced: Mutex::default(),
            numbers,
        })
    }

    /// The scoreboard's handle, if `cover` can watch the file system that holds it.
    pub(crate) fn watched_scoreboard(&self, cover: impl FnOnce(BorrowedFd<'_>) -> bool) -> Option<HandleKey> {
        let directory = self.scoreboard.directory();
        let handle = backing::handle_of(directory).ok()??;
        cover(directory).then(|| handle.key())
    }

    /// The handle of `uid`'s link; `None` without one.
    ///
    /// # Errors
    /// As `name_to_handle_at(2)`.
    pub(crate) fn link(&self, uid: u32) -> Result<Option<HandleKey>, Errno> {
        let link = OsString::from(uid.to_string());
        match backing::handle_at(self.scoreboard.directory(), &link) {
            Ok(handle) => Ok(handle.map(|handle| handle.key())),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The scoreboard's directory.
    pub(crate) fn scoreboard(&self) -> &Path {
        self.scoreboard.path()
    }

    /// What `uid` sees now. One system call while its link stays as it is.
    ///
    /// # Errors
    /// Its link cannot be used: `ENOENT`, `ENOTDIR`, `ELOOP`, `EPERM`; logged once for each link.
    pub(crate) fn of(&self, uid: u32) -> Result<Arc<View>, Errno> {
        let link = as_daemon(|| self.scoreboard.identity(uid).map_err(|e| e.errno()))?;
        let known = self.current.read().get(&uid).cloned();
        let Some(link) = link else {
            if known.is_some() {
                self.displace(self.current.write().remove(&uid));
            }
            return Ok(Arc::clone(&self.fallback));
        };
        match known {
            Some(Current { link: same, view: Ok(view) }) if same == link => Ok(view),
            known => self.renew(uid, known),
        }
    }

    /// Reads `uid`'s link, opens its home and remembers the outcome.
    fn renew(&self, uid: u32, known: Option<Current>) -> Result<Arc<View>, Errno> {
        let Some(link) = as_daemon(|| self.scoreboard.resolve(uid).map_err(|e| e.errno()))? else {
            return Ok(Arc::clone(&self.fallback));
        };
        let opened = self.open(uid, &link, false).map(Arc::new);
        let mut current = self.current.write();
        // Another thread may have been here first; its view has to stay the only one of this link.
        if let Some(Current { link: same, view: Ok(view) }) = current.get(&uid)
            && *same == link.identity
        {
            return Ok(Arc::clone(view));
        }
        let logged = known.is_some_and(|known| known.link == link.identity && known.view.is_err());
        if let (Err(errno), false) = (&opened, logged) {
            warn!(uid, target = %link.target.display(), "link not usable: {}", errno.desc());
        }
        self.displace(current.insert(uid, Current { link: link.identity, view: opened.clone() }));
        opened.inspect(|view| self.note(view))
    }

    /// Takes the views out whose link is no longer the one they were made by, with those that look-ups have taken out
    /// since the last time. Nobody gets them from now on.
    pub(crate) fn retire(&self) -> Vec<Arc<View>> {
        let mut current = self.current.write();
        let gone = |uid: &u32, known: &Current| {
            self.scoreboard.identity(*uid).is_ok_and(|now| now.as_ref() != Some(&known.link))
        };
        let uids: Vec<u32> =
            current.iter().filter(|(uid, known)| gone(uid, known)).map(|(uid, _)| *uid).collect();
        uids.iter().for_each(|uid| self.displace(current.remove(uid)));
        std::mem::take(&mut *self.displaced.lock()).iter().filter_map(Weak::upgrade).collect()
    }

    fn displace(&self, known: Option<Current>) {
        let mut displaced = self.displaced.lock();
        displaced.retain(|view| view.strong_count() > 0);
        displaced.extend(known.and_then(|known| known.view.ok()).as_ref().map(Arc::downgrade));
    }

    fn note(&self, view: &Arc<View>) {
        let mut living = self.living.lock();
        living.retain(|view| view.strong_count() > 0);
        living.push(Arc::downgrade(view));
        let views: Vec<Arc<View>> = living.iter().filter_map(Weak::upgrade).collect();
        let overlap =
            views.iter().enumerate().any(|(n, view)| views[..n].iter().any(|other| view.overlaps(other)));
        self.overlapping.store(overlap || self.mountpoints.len() > 1, Ordering::Relaxed);
    }

    /// Set as long as the same thing may be seen in two views.
    pub(crate) fn overlapping(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.overlapping)
    }

    /// Whether new look-ups get it.
    pub(crate) fn is_current(&self, view: &Arc<View>) -> bool {
        let is = |known: &Current| known.view.as_ref().is_ok_and(|current| Arc::ptr_eq(current, view));
        Arc::ptr_eq(view, &self.fallback) || self.current.read().values().any(is)
    }

    /// Every view that somebody still uses.
    pub(crate) fn living(&self) -> Vec<Arc<View>> {
        self.living.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// A new view of its own for `uid`, pinned to the link as it is now; its root is the home.
    ///
    /// # Errors
    /// `ENOENT` without a link; else as [`Views::of`].
    pub(crate) fn private(&self, uid: u32) -> Result<Arc<View>, Errno> {
        let link = as_daemon(|| self.scoreboard.resolve(uid).map_err(|e| e.errno()))?.ok_or(Errno::ENOENT)?;
        self.open(uid, &link, true).map(Arc::new).inspect(|view| self.note(view))
    }

    fn open(&self, uid: u32, link: &Link, private: bool) -> Result<View, Errno> {
        self.scoreboard.check().map_err(|e| {
            warn!("{e}");
            e.errno()
        })?;
        if !link.target.is_absolute() {
            return Err(Errno::ENOENT);
        }
        let home =
            as_daemon(|| platform::open_home(&link.target, &self.mountpoints)).map_err(|e| match e {
                Errno::ENOTDIR => Errno::ENOENT,
                other => other,
            })?;
        let subdirectory = self.subdirectory.clone();
        let whose = Whose { uid: Some(uid), path: link.target.clone(), subdirectory };
        let view = View::open(Index::new(&self.numbers), whose, home, private)?;
        if let Err(e) = view.root() {
            let missing = self.subdirectory.as_deref().unwrap_or(".");
            warn!(uid, home = %link.target.display(), "home without a usable '{missing}': {}", e.desc());
        }
        Ok(view)
    }

    /// The fallback view.
    #[cfg(test)]
    pub(crate) fn fallback(&self) -> &Arc<View> {
        &self.fallback
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_view_whose_link_was_replaced_is_retired_whoever_noticed_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for home in ["fallback", "first", "second"] {
            fs::create_dir_all(path(home).join("local")).unwrap();
        }
        let board = || Scoreboard::create(&path("board")).unwrap();
        let fallback = fs::File::open(path("fallback")).unwrap();
        let views = Views::new(board(), Some("local".into()), &[], (dir.path(), fallback.into())).unwrap();
        let retired = || views.retire().iter().map(|view| view.whose.path.clone()).collect::<Vec<_>>();
        board().publish(1000, &path("first")).unwrap();
        let first = views.of(1000).unwrap();
        assert!(retired().is_empty());
        board().publish(1000, &path("second")).unwrap();
        let second = views.of(1000).unwrap();
        assert_eq!(retired(), [path("first")], "a look-up noticed");
        board().retract(1000).unwrap();
        assert!(Arc::ptr_eq(&views.of(1000).unwrap(), views.fallback()));
        assert_eq!(retired(), [path("second")], "a look-up noticed that it is gone");
        board().publish(1000, &path("first")).unwrap();
        let again = views.of(1000).unwrap();
        board().retract(1000).unwrap();
        assert_eq!(retired(), [path("first")], "nobody noticed");
        assert!(retired().is_empty(), "once is enough");
        drop((first, second, again));
    }
}
