//! What every store does, whatever its backend; run on each by [`on_each_backend`].

/// Makes a test for each backend of each of the functions named, which are given the [`Kind`] of store.
macro_rules! on_each_backend {
    ($($name:ident)*) => {
        on_backend! { directories Directories: $($name)* }
        on_backend! { hardlinks Hardlinks: $($name)* }
        on_backend! { hardlinks_unsafe HardlinksUnsafe: $($name)* }
        #[cfg(target_os = "linux")]
        on_backend! { directories_on_btrfs_needs_root OnBtrfs: $($name)* }
        #[cfg(target_os = "linux")]
        on_backend! { btrfs_needs_root Btrfs: $($name)* }
        #[cfg(target_os = "linux")]
        on_backend! { xfs_needs_root Xfs: $($name)* }
        #[cfg(target_os = "linux")]
        on_backend! { overlayfs_needs_root Overlayfs: $($name)* }
        #[cfg(target_os = "linux")]
        on_backend! { zfs_needs_root_and_zfs_fuse Zfs: $($name)* }
    };
}

macro_rules! on_backend {
    ($module:ident $kind:ident: $($name:ident)*) => {
        mod $module {
            use $crate::store::tests::Kind;
            $(#[test] fn $name() {
                if Kind::$kind.can_be_made() {
                    super::$name(Kind::$kind);
                }
            })*
        }
    };
}

mod btrfs;
mod caches;
mod claims;
mod copying;
mod crash;
mod deletion;
mod disk;
mod doctor;
mod faults;
mod hardlinks;
mod keeping;
mod kinds;
mod on_btrfs;
mod opening;
mod overlayfs;
mod registry;
mod removal;
mod site;
#[cfg(target_os = "linux")]
mod zfs;

use std::fs;
use std::thread;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::transfer::trees::facts;
use site::{Case, Kind, Site};

fn id(number: u8) -> StepId {
    StepId::parse(&format!("{number:064x}")).unwrap()
}

fn row(number: u8, rc: i64, parent: Option<u8>) -> (String, i64, Option<String>) {
    (id(number).to_string(), rc, parent.map(|parent| id(parent).to_string()))
}

fn draft(store: &dyn Store, number: u8, base: Option<u8>) -> Box<dyn Draft> {
    match store.claim(&id(number), base.map(id).as_ref()).unwrap() {
        Claim::Build(draft) => draft,
        Claim::Cached(_) => panic!("{number} is there already"),
    }
}

/// The tree of the result `number`.
fn tree(store: &dyn Store, number: u8) -> Tree {
    store.find(&id(number)).unwrap().unwrap().tree().unwrap()
}
