//! Cache volumes.
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::*;

impl Site {
    fn left(&self) -> usize {
        self.names("cache-tmp").len()
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

fn what_a_step_leaves_the_next_one_finds(kind: Kind) {
    let site = Site::new(kind);
    let store = site.open();
    let first = volume(&store, "c");
    write(&*first, "1");
    first.release().unwrap();
    assert_eq!(read(&store, "c").as_deref(), Some("1"));
    assert_eq!(read(&store, "other"), None);
    assert_eq!(site.left(), 0);
}

fn the_first_to_finish_wins_and_nobody_sees_what_the_other_does(kind: Kind) {
    let site = Site::new(kind);
    // Two stores are two processes, as far as locks go.
    let (one, two) = (site.open(), site.open());
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

fn a_volume_that_was_dropped_is_kept_too(kind: Kind) {
    let site = Site::new(kind);
    let store = site.open();
    let failed = volume(&store, "c");
    write(&*failed, "from a failed step");
    drop(failed);
    assert_eq!(read(&store, "c").as_deref(), Some("from a failed step"));
}

fn what_a_killed_process_left_is_cleared_away_and_what_others_use_is_not(kind: Kind) {
    let site = Site::new(kind);
    let store = site.open();
    let used = volume(&store, "c");
    site.leave("cache-tmp/7-c");
    assert_eq!(site.left(), 2);
    let again = site.open();
    assert_eq!(site.left(), 1);
    assert!(used.dir().is_dir());
    write(&*used, "1");
    used.release().unwrap();
    assert_eq!(read(&again, "c").as_deref(), Some("1"));
}

fn a_volume_that_nobody_uses_can_be_deleted_and_is_empty_again(kind: Kind) {
    let site = Site::new(kind);
    let store = site.open();
    let first = volume(&store, "c/d");
    write(&*first, "1");
    first.release().unwrap();
    let called = store.caches().unwrap().remove(0);
    assert!(called.to_str().unwrap().ends_with("2fd"));
    store.delete_cache(&called).unwrap();
    assert!(store.caches().unwrap().is_empty());
    assert_eq!(read(&store, "c/d"), None);
    assert!(store.delete_cache(OsStr::new("nope")).is_err());
}

fn a_volume_that_a_step_uses_stays_and_gets_what_the_step_did(kind: Kind) {
    let site = Site::new(kind);
    let (store, other) = (site.open(), site.open());
    // One whose clones have names that end alike.
    drop(volume(&store, "1-c"));
    let used = volume(&store, "c");
    let called = backend(&site.url()).unwrap().cache_name(OsStr::new("c"));
    let refused = other.delete_cache(&called).unwrap_err().to_string();
    let name = called.display();
    assert_eq!(
        refused,
        format!("cannot delete the cache {name}: a build is using it; try again when it is done")
    );
    write(&*used, "1");
    used.release().unwrap();
    assert_eq!(read(&other, "c").as_deref(), Some("1"));
    let longer = volume(&store, "1-c");
    other.delete_cache(&called).unwrap();
    drop(longer);
}

fn volumes_may_have_any_name(kind: Kind) {
    let site = Site::new(kind);
    let store = site.open();
    let names = [&b"\xff\n%"[..], b"..", b"", b"/", b"a b", b"%2f"].map(OsStr::from_bytes);
    for (n, name) in names.iter().enumerate() {
        let volume = store.cache(name, me()).unwrap();
        fs::write(volume.dir().join("f"), n.to_string()).unwrap();
        volume.release().unwrap();
    }
    for (n, name) in names.iter().enumerate() {
        let volume = store.cache(name, me()).unwrap();
        assert_eq!(fs::read_to_string(volume.dir().join("f")).unwrap(), n.to_string());
    }
    assert_eq!(store.caches().unwrap().len(), names.len());
}

fn a_step_owns_its_volume_and_others_own_what_they_made_in_it(kind: Kind) {
    if me().0 != 0 {
        eprintln!("SKIPPED a_step_owns_its_volume_and_others_own_what_they_made_in_it: it needs root");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"));
        return;
    }
    let site = Site::new(kind);
    let store = site.open();
    let first = volume(&store, "c");
    write(&*first, "root's");
    first.release().unwrap();
    let second = store.cache(OsStr::new("c"), (1000, 1001)).unwrap();
    let root = fs::metadata(second.dir()).unwrap();
    assert_eq!((root.uid(), root.gid(), root.mode() & 0o7777), (1000, 1001, 0o755));
    assert_eq!(fs::metadata(second.dir().join("f")).unwrap().uid(), 0);
}

on_each_backend! {
    what_a_step_leaves_the_next_one_finds
    the_first_to_finish_wins_and_nobody_sees_what_the_other_does
    a_volume_that_was_dropped_is_kept_too
    what_a_killed_process_left_is_cleared_away_and_what_others_use_is_not
    a_volume_that_nobody_uses_can_be_deleted_and_is_empty_again
    a_volume_that_a_step_uses_stays_and_gets_what_the_step_did
    volumes_may_have_any_name
    a_step_owns_its_volume_and_others_own_what_they_made_in_it
}
