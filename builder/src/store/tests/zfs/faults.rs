//! Builders that die at any of the commands they run: whatever is there afterwards is whole, and the rest goes.
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::host::HostError;
use crate::host::run::{Answer, Run, SystemRun};
use crate::store::doctor;
use crate::store::local::LocalStore;
use crate::store::zfs::Datasets;

/// Runs so many commands that change something, and none after that.
struct Dying(Arc<AtomicUsize>);

impl Run for Dying {
    fn run(&self, words: &[&str]) -> Result<Answer, HostError> {
        let asks = words.iter().any(|word| matches!(*word, "list" | "get"));
        let left = |left: usize| left.checked_sub(1);
        if !asks && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
            return Ok(Answer { code: 1, stdout: String::new(), stderr: "the builder is dead".into() });
        }
        SystemRun.run(words)
    }
}

/// Does `operation` on a store whose builder dies at each of its commands in turn, until it lives; after each, looks
/// at what is there.
fn dying(
    prepare: impl Fn(&Case),
    operation: impl Fn(&dyn Store) -> Result<(), StoreError>,
    look: impl Fn(&Case, bool),
) {
    if !Kind::Zfs.can_be_made() {
        return;
    }
    let mut case = Case::new(Kind::Zfs);
    let StoreUrl::Zfs { pool, dir } = case.url() else { unreachable!() };
    for commands in 0.. {
        prepare(&case);
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let backend = Datasets::with(Box::new(Dying(Arc::clone(&left))), &pool, &dir);
        let store = LocalStore::open(&dir, Arc::new(backend)).unwrap();
        left.store(commands, Ordering::SeqCst);
        let done = operation(&store).is_ok();
        drop(store);
        case.reopen();
        assert_eq!(case.names("result-tmp"), [""; 0], "after {commands} commands");
        assert_eq!(case.names("cache-tmp"), [""; 0], "after {commands} commands");
        assert_eq!(doctor::examine(&case.url()).unwrap(), [], "after {commands} commands");
        look(&case, done);
        if done {
            assert!(commands > 1);
            return;
        }
    }
}

#[test]
fn a_result_is_there_as_a_whole_or_not_at_all_needs_root_and_zfs_fuse() {
    dying(
        |case| {
            let _ = case.found(1) || !case.make(1, None).log().exists();
        },
        |store| {
            let Claim::Build(draft) = store.claim(&id(2), Some(&id(1)))? else { panic!("it is there") };
            fs::write(draft.rootfs().join("2"), "file 2").unwrap();
            fs::write(draft.log(), "log 2").unwrap();
            draft.keep().map(drop)
        },
        |case, done| {
            assert_eq!(case.found(2), done);
            if done {
                assert_eq!(fs::read_to_string(tree(&*case.store, 2).join("2")).unwrap(), "file 2");
            }
        },
    );
}

#[test]
fn a_deletion_is_done_or_not_needs_root_and_zfs_fuse() {
    dying(
        |case| {
            if !case.found(1) {
                case.make(1, None);
            }
        },
        |store| store.delete(&id(1)),
        |case, _| {
            if case.found(1) {
                assert_eq!(fs::read_to_string(tree(&*case.store, 1).join("1")).unwrap(), "file 1");
            } else {
                assert!(case.rows().is_empty());
            }
        },
    );
}

#[test]
fn a_cache_is_the_old_one_or_the_new_one_or_empty_needs_root_and_zfs_fuse() {
    let read = |store: &dyn Store| {
        let volume = store.cache("c".as_ref(), (0, 0)).unwrap();
        fs::read_to_string(volume.dir().join("f")).unwrap_or_default()
    };
    let write = |store: &dyn Store, bytes: &str| -> Result<(), StoreError> {
        let volume = store.cache("c".as_ref(), (0, 0))?;
        fs::write(volume.dir().join("f"), bytes).unwrap();
        volume.release()
    };
    dying(
        |case| write(&*case.store, "old").unwrap(),
        |store| write(store, "new"),
        |case, done| {
            let found = read(&*case.store);
            assert!(if done { found == "new" } else { ["old", "new", ""].contains(&&*found) }, "{found}");
        },
    );
}
