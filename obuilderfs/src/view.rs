//! What one uid sees: a view is one scoreboard link as it was when it was read, or the fallback.
//!
//! Every node but the root and the control directory belongs to exactly one view, so the kernel's caches, which
//! know node ids and no uids, can never serve one user what another one's tree holds.
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use parking_lot::{Mutex, RwLock};

use crate::backing::{self, Handle, Stat, Time};
use crate::caller::as_daemon;

/// So many first-level names are noted of a view. Others are let go with whatever nobody uses.
const FIRST_NAMES: usize = 4096;

/// A tree, and how its owner is shown.
#[derive(Debug)]
pub(crate) struct View {
    index: Index,
    pub(crate) whose: Whose,
    /// Kernel caches may keep names and attributes: nobody changes the tree behind the mount.
    pub(crate) private: bool,
    owner: Option<OwnerMap>,
    /// The user's home; for the fallback, the directory itself.
    home: Arc<OwnedFd>,
    /// The home and the directories above it, by device and inode number.
    lineage: Vec<(u64, u64)>,
    /// The subdirectory, where one is shown.
    local: Mutex<Option<Local>>,
    /// A directory open for reading on each mount that was met, by the kernel's mount id.
    mounts: RwLock<Vec<(i32, Arc<OwnedFd>)>>,
    /// The mount on which changes made behind our back become known, if they do.
    covered: OnceLock<Option<i32>>,
    /// The root that everybody may search, by inode number and time of change.
    searchable: Mutex<Option<(u64, Time)>>,
    /// First-level names that were looked up in a shared view.
    first_names: Mutex<HashSet<OsString>>,
}

/// Which tree a view shows.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    /// The uid its link is named by; `None` for the fallback.
    pub(crate) uid: Option<u32>,
    /// The home's path, as the link gives it; for the fallback, the directory's own.
    pub(crate) path: PathBuf,
    /// The directory of the home that is shown; `None`: the home itself, as always for the fallback.
    pub(crate) subdirectory: Option<Arc<str>>,
}

/// Within a view, who owns the home below is shown as the user it was given to, and the other way round when
/// written, so that a snapshot made by one uid serves another.
#[derive(Debug, Clone, Copy)]
struct OwnerMap {
    below: u32,
    shown: u32,
}

/// The subdirectory as it was at the last look.
#[derive(Debug, Clone)]
struct Local {
    fd: Arc<OwnedFd>,
    identity: (u64, u64),
}

impl View {
    /// A view of the tree that `home` is open on.
    ///
    /// # Errors
    /// It is no directory.
    pub(crate) fn open(index: Index, whose: Whose, home: OwnedFd, private: bool) -> Result<Self, Errno> {
        let stat = backing::stat(home.as_fd())?;
        if !stat.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        // A home of root's is served as it is: standing for its owner would make the caller root.
        let owner = whose.uid.filter(|uid| stat.uid != *uid && stat.uid != 0 && *uid != 0);
        let owner = owner.map(|shown| OwnerMap { below: stat.uid, shown });
        let view = Self {
            index,
            whose,
            private,
            owner,
            lineage: lineage(home.as_fd(), &stat),
            home: Arc::new(home),
            local: Mutex::new(None),
            mounts: RwLock::default(),
            covered: OnceLock::new(),
            searchable: Mutex::default(),
            first_names: Mutex::default(),
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

    /// The device that holds the home.
    pub(crate) fn device(&self) -> u64 {
        self.lineage.first().map_or(0, |home| home.0)
    }

    /// Whether one of the two homes is the other or lies in it.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let lies_in = |inner: &Self, outer: &Self| {
            outer.lineage.first().is_some_and(|home| inner.lineage.contains(home))
        };
        lies_in(self, other) || lies_in(other, self)
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

    /// The directory shown at the mount point as it is now, never through a symlink.
    ///
    /// # Errors
    /// It is missing or no directory.
    pub(crate) fn root(&self) -> Result<Arc<OwnedFd>, Errno> {
        if self.whose.subdirectory.is_none() { Ok(Arc::clone(&self.home)) } else { Ok(self.root_now()?.0) }
    }

    /// The same, and its metadata.
    ///
    /// # Errors
    /// As [`View::root`].
    pub(crate) fn root_now(&self) -> Result<(Arc<OwnedFd>, Stat), Errno> {
        let Some(subdirectory) = self.whose.subdirectory.as_deref() else {
            return Ok((Arc::clone(&self.home), backing::stat(self.home.as_fd())?));
        };
        as_daemon(|| {
            let now = backing::stat_at(self.home.as_fd(), OsStr::new(subdirectory))?;
            let mut local = self.local.lock();
            if let Some(known) = local.as_ref().filter(|known| known.identity == (now.dev, now.ino)) {
                return Ok((Arc::clone(&known.fd), now));
            }
            let fd = Arc::new(backing::anchor(self.home.as_fd(), OsStr::new(subdirectory))?);
            let stat = backing::stat(fd.as_fd())?;
            if !stat.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            *local = Some(Local { fd: Arc::clone(&fd), identity: (stat.dev, stat.ino) });
            Ok((fd, stat))
        })
    }

    /// Whether mode and ACL of `root`, as [`View::root_now`] gave it with its metadata, let everybody look names up
    /// in it.
    pub(crate) fn lets_everyone_search(&self, root: BorrowedFd<'_>, stat: &Stat) -> bool {
        if stat.mode & 0o111 != 0o111 {
            return false;
        }
        let now = Some((stat.ino, stat.ctime));
        if *self.searchable.lock() == now {
            return true;
        }
        if as_daemon(|| backing::get_xattr(root, OsStr::new("system.posix_acl_access"))).is_ok() {
            return false;
        }
        *self.searchable.lock() = now;
        true
    }

    /// The kernel is told of this name in the root.
    pub(crate) fn note_first_name(&self, name: &OsStr) {
        let mut names = self.first_names.lock();
        // A user may try any number of names.
        if names.len() < FIRST_NAMES && !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    /// The names in the root that the kernel was told of.
    pub(crate) fn take_first_names(&self) -> HashSet<OsString> {
        std::mem::take(&mut self.first_names.lock())
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

/// The directory `home`, whose metadata is `stat`, and those above it as far as they can be seen.
fn lineage(home: BorrowedFd<'_>, stat: &Stat) -> Vec<(u64, u64)> {
    let mut all = vec![(stat.dev, stat.ino)];
    let mut at = home.try_clone_to_owned().ok();
    while let Some(above) = at.and_then(|dir| backing::anchor(dir.as_fd(), OsStr::new("..")).ok()) {
        let Ok(stat) = backing::stat(above.as_fd()) else { break };
        if all.last() == Some(&(stat.dev, stat.ino)) {
            break;
        }
        all.push((stat.dev, stat.ino));
        at = Some(above);
    }
    all
}

/// A view's number, given back when the view goes.
#[derive(Debug)]
pub(crate) struct Index {
    number: u32,
    free: Arc<Mutex<Numbers>>,
}

/// The numbers of views.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    highest: u32,
    free: Vec<u32>,
}

impl Drop for Index {
    fn drop(&mut self) {
        self.free.lock().free.push(self.number);
    }
}

impl Index {
    /// The next free number.
    pub(crate) fn new(numbers: &Arc<Mutex<Numbers>>) -> Self {
        let mut table = numbers.lock();
        let number = table.free.pop().unwrap_or_else(|| {
            table.highest += 1;
            table.highest
        });
        Self { number, free: Arc::clone(numbers) }
    }
}

/// What the root shows to everyone: nothing of it may differ between users, for the kernel keeps one copy.
pub(crate) fn constant_directory(ino: u64, mode: u32) -> Stat {
    let btime = Some(Time::default());
    Stat { ino, mode: backing::S_IFDIR | mode, nlink: 2, blksize: 4096, btime, ..Stat::default() }
}
