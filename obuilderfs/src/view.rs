//! What one uid sees: a view is one scoreboard link as it was when it was read, or the fallback.
//!
//! Every node but the root and the control directory belongs to exactly one view, so the kernel's caches, which
//! know node ids and no uids, can never serve one user what another one's tree holds.
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use parking_lot::{Mutex, RwLock};
use tracing::warn;

use crate::backing::{self, Handle, Stat};
use crate::caller::as_daemon;
use crate::scoreboard::{Link, LinkIdentity, Scoreboard};

/// The directory of a home that the mount point shows.
const LOCAL: &str = "local";

/// A tree, and how its owner is shown.
#[derive(Debug)]
pub(crate) struct View {
    index: Index,
    /// Kernel caches may keep names and attributes: nobody changes the tree behind the mount.
    pub(crate) private: bool,
    owner: Option<OwnerMap>,
    /// The user's home; for the fallback, the directory itself.
    home: Arc<OwnedFd>,
    /// `None` for the fallback, whose root is `home`.
    local: Mutex<Option<Local>>,
    /// A directory open for reading on each mount that was met, by the kernel's mount id.
    mounts: RwLock<Vec<(i32, Arc<OwnedFd>)>>,
    /// The mount on which changes made behind our back become known, if they do.
    covered: OnceLock<Option<i32>>,
}

/// Within a view, who owns the home below is shown as the user it was given to, and the other way round when
/// written, so that a snapshot made by one uid serves another.
#[derive(Debug, Clone, Copy)]
struct OwnerMap {
    below: u32,
    shown: u32,
}

/// `home/local` as it was at the last look.
#[derive(Debug, Clone)]
struct Local {
    fd: Arc<OwnedFd>,
    identity: (u64, u64),
}

impl View {
    /// Opens `home` for `uid` (`None`: the fallback).
    fn open(index: Index, uid: Option<u32>, home: OwnedFd, private: bool) -> Result<Self, Errno> {
        let stat = backing::stat(home.as_fd())?;
        if !stat.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        // A home of root's is served as it is: standing for its owner would make the caller root.
        let owner = uid.filter(|uid| stat.uid != *uid && stat.uid != 0 && *uid != 0);
        let owner = owner.map(|shown| OwnerMap { below: stat.uid, shown });
        let view = Self {
            index,
            private,
            owner,
            home: Arc::new(home),
            local: Mutex::new(None),
            mounts: RwLock::default(),
            covered: OnceLock::new(),
        };
        if let Some(handle) = backing::handle_of(view.home.as_fd())? {
            view.mounts.write().push((handle.mount(), Arc::clone(&view.home)));
        }
        Ok(view)
    }

    /// A small number that no other living view has; never 0.
    pub(crate) fn index(&self) -> u32 {
        self.index.number
    }

    /// The home itself (for the fallback, its root).
    pub(crate) fn home(&self) -> &Arc<OwnedFd> {
        &self.home
    }

    /// Finds out, the first time it is asked, whether `cover` can watch the file system that holds the home.
    /// That is before anything of it is told to the kernel.
    pub(crate) fn cover(&self, cover: impl FnOnce(BorrowedFd<'_>) -> bool) -> bool {
        let mount = self.covered.get_or_init(|| {
            let handle = backing::handle_of(self.home.as_fd()).ok()??;
            let stat = backing::stat(self.home.as_fd()).ok()?;
            // Without the number in it, a handle that is told could not be found among the nodes.
            let usable = !self.private && handle.key().inode() == Some(stat.ino);
            (usable && cover(self.home.as_fd())).then(|| handle.mount())
        });
        mount.is_some()
    }

    /// Whether changes of the object with this handle become known.
    pub(crate) fn covers(&self, handle: &Handle) -> bool {
        matches!(self.covered.get(), Some(Some(mount)) if *mount == handle.mount())
    }

    /// The directory shown at the mount point: `home/local` as it is now, never through a symlink.
    ///
    /// # Errors
    /// It is missing or no directory.
    pub(crate) fn root(&self) -> Result<Arc<OwnedFd>, Errno> {
        if self.index.fallback {
            return Ok(Arc::clone(&self.home));
        }
        as_daemon(|| {
            let now = nix::sys::stat::fstatat(&*self.home, LOCAL, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
            #[allow(clippy::unnecessary_cast, trivial_numeric_casts)]
            let identity = (now.st_dev as u64, now.st_ino as u64);
            let mut local = self.local.lock();
            if let Some(known) = local.as_ref().filter(|known| known.identity == identity) {
                return Ok(Arc::clone(&known.fd));
            }
            let fd = Arc::new(backing::anchor(self.home.as_fd(), OsStr::new(LOCAL))?);
            let stat = backing::stat(fd.as_fd())?;
            if !stat.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            *local = Some(Local { fd: Arc::clone(&fd), identity: (stat.dev, stat.ino) });
            Ok(fd)
        })
    }

    /// The uid below that `uid` acts as in this view.
    pub(crate) fn acting_uid(&self, uid: u32) -> u32 {
        self.owner.filter(|owner| owner.shown == uid).map_or(uid, |owner| owner.below)
    }

    /// The uid to write for one that a caller named.
    pub(crate) fn uid_below(&self, uid: u32) -> u32 {
        self.acting_uid(uid)
    }

    /// The uid to show for one found below.
    pub(crate) fn uid_shown(&self, uid: u32) -> u32 {
        self.owner.filter(|owner| owner.below == uid).map_or(uid, |owner| owner.shown)
    }

    /// Notes the mount that `object` was met on, so that its handles can be opened.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if `object` is no directory: a mount has to be entered through one.
    pub(crate) fn remember_mount(&self, handle: &Handle, object: impl AsFd) -> Result<(), Errno> {
        if self.mounts.read().iter().any(|(id, _)| *id == handle.mount()) {
            return Ok(());
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let fd = as_daemon(|| backing::reopen(object.as_fd(), flags)).map_err(|_| Errno::EOPNOTSUPP)?;
        self.mounts.write().push((handle.mount(), Arc::new(fd)));
        Ok(())
    }

    /// Anchors the object `handle` names.
    ///
    /// # Errors
    /// `ESTALE` if it is gone.
    pub(crate) fn open_handle(&self, handle: &Handle) -> Result<OwnedFd, Errno> {
        let mount =
            self.mounts.read().iter().find(|(id, _)| *id == handle.mount()).map(|(_, fd)| Arc::clone(fd));
        let mount = mount.ok_or(Errno::ESTALE)?;
        as_daemon(|| backing::open_handle(mount.as_fd(), handle))
    }
}

/// A view's number, given back when the view goes.
#[derive(Debug)]
struct Index {
    number: u32,
    fallback: bool,
    free: Arc<Mutex<Numbers>>,
}

#[derive(Debug, Default)]
struct Numbers {
    highest: u32,
    free: Vec<u32>,
}

impl Drop for Index {
    fn drop(&mut self) {
        self.free.lock().free.push(self.number);
    }
}

/// The views that new look-ups get, by uid.
#[derive(Debug)]
pub(crate) struct Views {
    scoreboard: Scoreboard,
    /// Homes under here would be served through ourselves.
    mountpoint: PathBuf,
    fallback: Arc<View>,
    current: RwLock<HashMap<u32, Current>>,
    /// Every shared view that somebody still uses.
    living: Mutex<Vec<Weak<View>>>,
    numbers: Arc<Mutex<Numbers>>,
}

/// What the table knows of a uid's link: the view it gave, or why it gave none.
#[derive(Debug, Clone)]
struct Current {
    link: LinkIdentity,
    view: Result<Arc<View>, Errno>,
}

impl Views {
    /// Views by `scoreboard`, with `fallback` (open on the directory) for those without a link.
    ///
    /// # Errors
    /// The fallback is no directory.
    pub(crate) fn new(scoreboard: Scoreboard, mountpoint: &Path, fallback: OwnedFd) -> Result<Self, Errno> {
        let numbers = Arc::<Mutex<Numbers>>::default();
        let fallback = Arc::new(View::open(number(&numbers, true), None, fallback, false)?);
        let living = Mutex::new(vec![Arc::downgrade(&fallback)]);
        let (mountpoint, current) = (mountpoint.to_owned(), RwLock::default());
        Ok(Self { scoreboard, mountpoint, fallback, current, living, numbers })
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
                self.current.write().remove(&uid);
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
        current.insert(uid, Current { link: link.identity, view: opened.clone() });
        if let Ok(view) = &opened {
            let mut living = self.living.lock();
            living.retain(|view| view.strong_count() > 0);
            living.push(Arc::downgrade(view));
        }
        opened
    }

    /// Every shared view that somebody still uses.
    pub(crate) fn living(&self) -> Vec<Arc<View>> {
        self.living.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// A new view of its own for `uid`, pinned to the link as it is now; its root is the home.
    ///
    /// # Errors
    /// `ENOENT` without a link; else as [`Views::of`].
    pub(crate) fn private(&self, uid: u32) -> Result<Arc<View>, Errno> {
        let link = as_daemon(|| self.scoreboard.resolve(uid).map_err(|e| e.errno()))?.ok_or(Errno::ENOENT)?;
        self.open(uid, &link, true).map(Arc::new)
    }

    fn open(&self, uid: u32, link: &Link, private: bool) -> Result<View, Errno> {
        self.scoreboard.check().map_err(|e| {
            warn!("{e}");
            e.errno()
        })?;
        if !link.target.is_absolute() {
            return Err(Errno::ENOENT);
        }
        if link.target.starts_with(&self.mountpoint) {
            return Err(Errno::ELOOP);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let home = as_daemon(|| open(&link.target, flags, Mode::empty())).map_err(|e| match e {
            Errno::ENOTDIR => Errno::ENOENT,
            other => other,
        })?;
        let view = View::open(number(&self.numbers, false), Some(uid), home, private)?;
        if let Err(e) = view.root() {
            warn!(uid, home = %link.target.display(), "home without a usable '{LOCAL}': {}", e.desc());
        }
        Ok(view)
    }

    /// The fallback view.
    #[cfg(test)]
    pub(crate) fn fallback(&self) -> &Arc<View> {
        &self.fallback
    }
}

fn number(numbers: &Arc<Mutex<Numbers>>, fallback: bool) -> Index {
    let mut table = numbers.lock();
    let number = table.free.pop().unwrap_or_else(|| {
        table.highest += 1;
        table.highest
    });
    Index { number, fallback, free: Arc::clone(numbers) }
}

/// What the root shows to everyone: nothing of it may differ between users, for the kernel keeps one copy.
pub(crate) fn constant_directory(ino: u64, mode: u32) -> Stat {
    Stat { ino, mode: backing::S_IFDIR | mode, nlink: 2, blksize: 4096, ..Stat::default() }
}
