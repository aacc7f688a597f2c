//! How many commands things take: each starts a process.
use parking_lot::Mutex;

use super::*;
use crate::host::HostError;
use crate::host::run::{Answer, Run, SystemRun};
use crate::store::local::LocalStore;
use crate::store::zfs::Datasets;

/// Writes down the verbs.
struct Counting(Arc<Mutex<Vec<String>>>);

impl Run for Counting {
    fn run(&self, words: &[&str]) -> Result<Answer, HostError> {
        let at = words.iter().position(|word| word.ends_with("/zfs") || word.ends_with("/zpool")).unwrap();
        self.0.lock().push(words[at + 1].to_owned());
        SystemRun.run(words)
    }
}

/// zfs-fuse mounts clones by itself; elsewhere it takes one `mount` more for each.
#[test]
fn a_step_takes_five_commands_and_what_is_kept_one_needs_root_and_zfs_fuse() {
    if !Pool::can_be_made() {
        return;
    }
    let mut case = Case::new(Kind::Zfs);
    case.make(1, None);
    let StoreUrl::Zfs { pool, dir } = case.url() else { unreachable!() };
    let ran = Arc::<Mutex<Vec<String>>>::default();
    let backend = Datasets::with(Box::new(Counting(Arc::clone(&ran))), &pool, &dir);
    case.store = Arc::new(LocalStore::open(&dir, Arc::new(backend)).unwrap());
    let taken = || std::mem::take(&mut *ran.lock());
    assert_eq!(taken(), ["list"], "opening a store");
    assert!(case.found(1));
    assert_eq!(taken(), ["list"], "finding a result");
    drop(case.make(2, Some(1)));
    assert_eq!(taken(), ["list", "clone", "unmount", "snapshot", "rename"], "a step");
    drop(tree(&*case.store, 2));
    assert_eq!(taken(), ["list", "mount", "unmount"], "reading a result");
    case.store.delete(&id(2)).unwrap();
    assert_eq!(taken(), ["rename", "destroy"], "deleting a result");
    drop(case.store.cache("c".as_ref(), (0, 0)).unwrap());
    taken();
    drop(case.store.cache("c".as_ref(), (0, 0)).unwrap());
    let cloned = ["get", "destroy", "clone"];
    let released =
        ["get", "destroy", "unmount", "get", "list", "rename", "promote", "rename", "snapshot", "rename"];
    let gone = ["destroy", "destroy"];
    assert_eq!(taken(), [&cloned[..], &released, &gone].concat(), "a cache");
}
