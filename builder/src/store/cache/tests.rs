//! Cache volumes of a store in directories.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::{Volume, dataset_name, directory_name};
use crate::store::{self, Store, StoreUrl};

struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> Arc<dyn Store> {
        store::open(&StoreUrl::Rsync(self.dir.path().join("store"))).unwrap()
    }

    fn left(&self) -> usize {
        fs::read_dir(self.dir.path().join("store/cache-tmp")).unwrap().count()
    }
}

fn me() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

fn volume(store: &Arc<dyn Store>, name: &str) -> Box<dyn Volume> {
    store.cache(OsStr::new(name), me()).unwrap()
}

fn write(volume: &dyn Volume, bytes: &str) {
    fs::write(volume.dir().join("f"), bytes).unwrap();
}

fn read(store: &Arc<dyn Store>, name: &str) -> Option<String> {
    fs::read_to_string(volume(store, name).dir().join("f")).ok()
}

#[test]
fn what_a_step_leaves_the_next_one_finds() {
    let site = Site::new();
    let store = site.store();
    let first = volume(&store, "c");
    write(&*first, "1");
    first.release().unwrap();
    assert_eq!(read(&store, "c").as_deref(), Some("1"));
    assert_eq!(read(&store, "other"), None);
    assert_eq!(site.left(), 0);
    assert_eq!(fs::read(site.dir.path().join("store/cache/c/f")).unwrap(), b"1");
}

#[test]
fn the_first_to_finish_wins_and_nobody_sees_what_the_other_does() {
    let site = Site::new();
    // Two stores are two processes, as far as locks go.
    let (one, two) = (site.store(), site.store());
    let (slow, quick) = (volume(&one, "c"), volume(&two, "c"));
    assert_ne!(slow.dir(), quick.dir());
    write(&*slow, "slow");
    assert!(!quick.dir().join("f").exists());
    write(&*quick, "quick");
    quick.release().unwrap();
    slow.release().unwrap();
    assert_eq!(read(&one, "c").as_deref(), Some("quick"));
    assert_eq!(site.left(), 0);
}

#[test]
fn a_volume_that_was_dropped_is_kept_too() {
    let site = Site::new();
    let store = site.store();
    let failed = volume(&store, "c");
    write(&*failed, "from a failed step");
    drop(failed);
    assert_eq!(read(&store, "c").as_deref(), Some("from a failed step"));
}

#[test]
fn what_a_killed_process_left_is_cleared_away_and_what_others_use_is_not() {
    let site = Site::new();
    let store = site.store();
    let used = volume(&store, "c");
    let dead = site.dir.path().join("store/cache-tmp/7-c");
    fs::create_dir_all(dead.join("x")).unwrap();
    let again = site.store();
    assert!(!dead.exists());
    assert!(used.dir().is_dir());
    write(&*used, "1");
    used.release().unwrap();
    assert_eq!(read(&again, "c").as_deref(), Some("1"));
}

#[test]
fn a_deleted_volume_is_empty_again_even_for_those_who_work_on_it() {
    let site = Site::new();
    let store = site.store();
    let first = volume(&store, "c/d");
    write(&*first, "1");
    first.release().unwrap();
    let second = volume(&store, "c/d");
    assert_eq!(store.caches().unwrap(), ["c%2fd"]);
    store.delete_cache(OsStr::new("c%2fd")).unwrap();
    assert!(store.caches().unwrap().is_empty());
    second.release().unwrap();
    assert_eq!(read(&store, "c/d"), None);
    assert!(store.delete_cache(OsStr::new("nope")).is_err());
}

#[test]
fn a_step_owns_its_volume_and_others_own_what_they_made_in_it() {
    if me().0 != 0 {
        eprintln!("SKIPPED a_step_owns_its_volume_and_others_own_what_they_made_in_it: it needs root");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"));
        return;
    }
    let site = Site::new();
    let store = site.store();
    let first = volume(&store, "c");
    write(&*first, "root's");
    first.release().unwrap();
    let second = store.cache(OsStr::new("c"), (1000, 1001)).unwrap();
    let root = fs::metadata(second.dir()).unwrap();
    assert_eq!((root.uid(), root.gid(), root.mode() & 0o7777), (1000, 1001, 0o755));
    assert_eq!(fs::metadata(second.dir().join("f")).unwrap().uid(), 0);
}

#[test]
fn names_are_escaped_as_each_kind_of_store_needs_it() {
    let name = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
    for (bytes, directory, dataset) in [
        (&b"cacheA"[..], "cacheA", "c-cacheA"),
        ("na me:é".as_bytes(), "na me:é", "c-na%20me%3a%c3%a9"),
        (b"a/b", "a%2fb", "c-a%2fb"),
        (b"..", "%2e.", "c-.."),
        (b"a.b-c_D9", "a.b-c_D9", "c-a.b-c_D9"),
        (b"%", "%25", "c-%25"),
        (b"", "%", "c-%"),
    ] {
        assert_eq!(directory_name(name(bytes)), directory);
        assert_eq!(dataset_name(name(bytes)), dataset);
    }
}
