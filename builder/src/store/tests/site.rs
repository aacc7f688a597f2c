//! Stores to test on: each kind on the file system that it needs, made for the test and gone with it.
//!
//! What a test does behind a store's back is done here, as each kind needs it.
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{draft, id};
use crate::store::backend::Backend;
use crate::store::{Draft, Finished, Sharing, Store, StoreUrl, backend, open_sharing};

/// The backends there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directories,
    Hardlinks,
    HardlinksUnsafe,
    /// Directories whose trees are subvolumes.
    OnBtrfs,
    Btrfs,
    Xfs,
    Overlayfs,
    Zfs,
}

impl Kind {
    /// Whether a [`Site`] of it can be made on this machine; if not, says so.
    pub(super) fn can_be_made(self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Btrfs | Self::OnBtrfs => crate::transfer::trees::mounts::can_make_btrfs(),
            #[cfg(target_os = "linux")]
            Self::Xfs => crate::transfer::trees::mounts::can_make_xfs(),
            Self::Overlayfs => crate::transfer::trees::require_root(),
            #[cfg(target_os = "linux")]
            Self::Zfs => super::zfs::Pool::can_be_made(),
            _ => true,
        }
    }
}

#[cfg(target_os = "linux")]
impl Kind {
    /// Whether its stores are on a file system made for them.
    fn has_a_disk(self) -> bool {
        matches!(self, Self::OnBtrfs | Self::Btrfs | Self::Xfs | Self::Overlayfs)
    }
}

/// Where a store may be made: a directory of its own, on the file system that its kind needs.
pub(super) struct Site {
    pub(super) temp: TempDir,
    pub(super) kind: Kind,
    #[cfg(target_os = "linux")]
    pub(super) pool: Option<super::zfs::Pool>,
}

impl Site {
    pub(super) fn new(kind: Kind) -> Self {
        let temp = TempDir::new().unwrap();
        #[cfg(target_os = "linux")]
        if kind.has_a_disk() {
            use crate::transfer::trees::mounts;
            let dir = temp.path().join("mnt");
            fs::create_dir(&dir).unwrap();
            assert!(match kind {
                Kind::Btrfs | Kind::OnBtrfs => mounts::btrfs(&dir),
                Kind::Xfs => mounts::xfs(&dir),
                _ => mounts::tmpfs(&dir, "512m"),
            });
        }
        #[cfg(target_os = "linux")]
        let pool = (kind == Kind::Zfs).then(|| super::zfs::Pool::new(temp.path()));
        Self {
            temp,
            kind,
            #[cfg(target_os = "linux")]
            pool,
        }
    }

    pub(super) fn url(&self) -> StoreUrl {
        match self.kind {
            Kind::Directories | Kind::Hardlinks | Kind::HardlinksUnsafe => {
                StoreUrl::Rsync(self.temp.path().join("store"))
            }
            Kind::OnBtrfs => StoreUrl::Rsync(self.temp.path().join("mnt/store")),
            Kind::Btrfs => StoreUrl::Btrfs(self.temp.path().join("mnt/store")),
            Kind::Xfs => StoreUrl::Xfs(self.temp.path().join("mnt/store")),
            Kind::Overlayfs => StoreUrl::Overlayfs(self.temp.path().join("mnt/store")),
            Kind::Zfs => self.pool_url(),
        }
    }

    #[cfg(target_os = "linux")]
    fn pool_url(&self) -> StoreUrl {
        let pool = self.pool.as_ref().unwrap().name.clone();
        StoreUrl::Zfs { dir: self.temp.path().join(&pool), pool }
    }

    #[cfg(not(target_os = "linux"))]
    fn pool_url(&self) -> StoreUrl {
        unreachable!("there are no pools to test on")
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.url().dir().join(below)
    }

    pub(super) fn open(&self) -> Arc<dyn Store> {
        let sharing = match self.kind {
            Kind::Hardlinks => Some(Sharing::Hardlink),
            Kind::HardlinksUnsafe => Some(Sharing::HardlinkUnsafe),
            _ => None,
        };
        open_sharing(&self.url(), sharing).unwrap()
    }

    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        backend(&self.url()).unwrap()
    }

    /// What is in a part of the store, or in a directory of its state.
    pub(super) fn names(&self, below: &str) -> Vec<String> {
        let names = self.backend().names(&self.path(below)).unwrap();
        let mut names: Vec<_> = names.into_iter().map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Whether nothing was made in it yet.
    pub(super) fn is_untouched(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(pool) = &self.pool {
            return pool.zfs(&["list", "-H", "-r", "POOL"]).lines().count() == 1;
        }
        !self.url().dir().exists()
    }

    /// Leaves something at `below`, as a killed builder leaves a draft or a clone of a cache.
    pub(super) fn leave(&self, below: &str) {
        #[cfg(target_os = "linux")]
        if let Some(pool) = &self.pool {
            return pool.leave(below);
        }
        fs::create_dir_all(self.path(below).join("rootfs")).unwrap();
    }

    /// Puts a result in place that is not whole.
    pub(super) fn leave_half(&self, number: u8) {
        #[cfg(target_os = "linux")]
        if let Some(pool) = &self.pool {
            return pool.leave(&format!("result/{}", id(number)));
        }
        let half = self.path("result").join(id(number).as_str());
        fs::create_dir_all(half.join("roo")).unwrap();
        fs::write(half.join("log"), "half").unwrap();
    }

    /// Fills a new store as OBuilder does: with the result `number`, and what it leaves of `left` when it is
    /// killed.
    pub(super) fn fill_as_obuilder(&self, number: u8, left: u8) {
        #[cfg(target_os = "linux")]
        if let Some(pool) = &self.pool {
            pool.fill_as_obuilder(self.url().dir(), &id(number), &id(left));
            return;
        }
        let result = self.path("result").join(id(number).as_str());
        fs::create_dir_all(result.join("rootfs")).unwrap();
        fs::create_dir_all(self.path("state/db")).unwrap();
        fs::write(result.join("env"), "((env ()))").unwrap();
        self.leave(&format!("result-tmp/{}", id(left)));
    }
}

/// What is mounted goes before the directory it is mounted on.
impl Drop for Site {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if self.kind.has_a_disk() {
            nix::mount::umount2(&self.temp.path().join("mnt"), nix::mount::MntFlags::MNT_DETACH).unwrap();
        }
    }
}

/// A store.
pub(super) struct Case {
    pub(super) store: Arc<dyn Store>,
    pub(super) site: Site,
}

impl Case {
    pub(super) fn new(kind: Kind) -> Self {
        let site = Site::new(kind);
        Self { store: site.open(), site }
    }

    pub(super) fn url(&self) -> StoreUrl {
        self.site.url()
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.site.path(below)
    }

    pub(super) fn names(&self, below: &str) -> Vec<String> {
        self.site.names(below)
    }

    pub(super) fn reopen(&mut self) {
        self.store = self.site.open();
    }

    /// Takes the result `number` away behind the store's back.
    pub(super) fn lose(&self, number: u8) {
        self.site.backend().discard(&self.path("result").join(id(number).as_str())).unwrap();
    }

    pub(super) fn draft(&self, number: u8, base: Option<u8>) -> Box<dyn Draft> {
        draft(&*self.store, number, base)
    }

    /// Makes the result `number`, which holds a file of that name.
    pub(super) fn make(&self, number: u8, base: Option<u8>) -> Finished {
        let draft = self.draft(number, base);
        fs::write(draft.rootfs().join(number.to_string()), format!("file {number}")).unwrap();
        fs::write(draft.log(), format!("log {number}")).unwrap();
        if base.is_none() {
            fs::write(draft.env(), "((env ((PATH /bin))))").unwrap();
        }
        draft.keep().unwrap()
    }

    pub(super) fn found(&self, number: u8) -> bool {
        self.store.find(&id(number)).unwrap().is_some()
    }

    pub(super) fn database(&self) -> Connection {
        Connection::open(self.path("state/db/db.sqlite")).unwrap()
    }

    /// `(id, rc, parent)` of all rows.
    pub(super) fn rows(&self) -> Vec<(String, i64, Option<String>)> {
        let database = self.database();
        let mut select = database.prepare("SELECT id, rc, parent FROM builds ORDER BY id").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}
