//! Results that move between stores.
use super::*;
use crate::store::copying::{Copied, Counts, copy};
use crate::store::verify::verify;

/// A store with two chains, 1 to 3 and 4, and a cache.
fn filled(kind: Kind) -> Case {
    let case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    let draft = case.draft(3, Some(2));
    fs::remove_file(draft.rootfs().join("1")).unwrap();
    fs::write(draft.rootfs().join("2"), "changed").unwrap();
    fs::create_dir(draft.rootfs().join("dir")).unwrap();
    fs::hard_link(draft.rootfs().join("2"), draft.rootfs().join("dir/again")).unwrap();
    fs::write(draft.log(), "log 3").unwrap();
    draft.keep().unwrap();
    case.make(4, None);
    let cache = case.store.cache("a/cache".as_ref(), (0, 0)).unwrap();
    fs::write(cache.dir().join("kept"), "kept").unwrap();
    cache.release().unwrap();
    case.database()
        .execute("UPDATE builds SET created = '2020-01-02 03:04:05', used = '2021-01-01 00:00:00'", [])
        .unwrap();
    case
}

/// `by` is the kind that a result has gone through.
fn assert_same(from: &Case, to: &Case, by: Kind, numbers: &[u8]) {
    let kept = |case: &Case, number| {
        let mut facts = facts(&tree(&*case.store, number));
        if by == Kind::Zfs {
            // zfs-fuse sets times to whole seconds.
            facts.values_mut().for_each(|facts| facts.mtime.1 = 0);
        }
        facts
    };
    for &number in numbers {
        assert_eq!(kept(to, number), kept(from, number), "{number}");
        let [ours, theirs] = [&to.store, &from.store].map(|store| store.peek(&id(number)).unwrap().unwrap());
        assert_eq!(fs::read(ours.log()).unwrap(), fs::read(theirs.log()).unwrap());
        assert_eq!(fs::read(ours.env()).unwrap(), fs::read(theirs.env()).unwrap());
    }
}

fn a_store_moves_to_another_kind_and_back(kind: Kind) {
    let (from, to, back) = (filled(Kind::Directories), Case::new(kind), Case::new(Kind::Hardlinks));
    let mut told = Vec::new();
    let counts = copy(&*from.store, &*to.store, &[], |copied| told.push(copied.clone())).unwrap();
    assert_eq!(counts, Counts { copied: 4, skipped: 0, caches: 1 });
    assert_eq!(told[4], Copied::Cache("a/cache".into()));
    assert_same(&from, &to, kind, &[1, 2, 3, 4]);
    assert_eq!(to.store.list().unwrap(), from.store.list().unwrap());
    copy(&*to.store, &*back.store, &[], |_| ()).unwrap();
    assert_same(&from, &back, kind, &[1, 2, 3, 4]);
    assert_eq!(back.store.list().unwrap(), from.store.list().unwrap());
    let cache = back.store.cache("a/cache".as_ref(), (0, 0)).unwrap();
    assert_eq!(fs::read_to_string(cache.dir().join("kept")).unwrap(), "kept");
}

fn a_copy_takes_what_a_result_was_made_from_and_goes_on_where_it_was(kind: Kind) {
    let (from, to) = (filled(Kind::Directories), Case::new(kind));
    let counts = copy(&*from.store, &*to.store, &[id(2)], |_| ()).unwrap();
    assert_eq!(counts, Counts { copied: 2, skipped: 0, caches: 0 });
    assert!(to.found(1) && to.found(2) && !to.found(3) && !to.found(4));
    let counts = copy(&*from.store, &*to.store, &[], |_| ()).unwrap();
    assert_eq!(counts, Counts { copied: 2, skipped: 2, caches: 1 });
    assert_same(&from, &to, kind, &[1, 2, 3, 4]);
    let error = copy(&*from.store, &*to.store, &[id(9)], |_| ()).unwrap_err().to_string();
    assert_eq!(error, format!("the store {} has no result {}", from.store.dir().display(), id(9)));
}

fn a_store_that_is_whole_is_found_so_and_a_changed_file_is_found(kind: Kind) {
    let case = filled(kind);
    let look = |deep| verify(&case.url(), deep).unwrap();
    assert_eq!((look(false).results, look(false).flaws.len()), (4, 0));
    assert_eq!((look(true).compared, look(true).compared), (0, 4));
    if kind == Kind::Zfs {
        // Its results are shown to who reads them, and nobody can change them.
        return;
    }
    let layer = case.path("result").join(id(4).as_str()).join("rootfs");
    #[cfg(target_os = "linux")]
    if kind == Kind::Btrfs {
        crate::store::system::subvolume::set_read_only(layer.parent().unwrap(), false).unwrap();
        assert_eq!(look(true).flaws[0].kind, "kind");
    }
    fs::write(layer.join("4"), "file X").unwrap();
    #[cfg(target_os = "linux")]
    if kind == Kind::Btrfs {
        crate::store::system::subvolume::set_read_only(layer.parent().unwrap(), true).unwrap();
    }
    let flaws = look(true).flaws;
    assert_eq!(flaws.len(), 1, "{flaws:?}");
    assert_eq!(flaws[0].what, format!("the result {} is not what it was: its files were changed", id(4)));
}

#[test]
fn a_store_is_not_copied_to_itself() {
    let case = filled(Kind::Directories);
    let error = copy(&*case.store, &*case.site.open(), &[], |_| ()).unwrap_err().to_string();
    assert_eq!(error, format!("{} is one store; name another to copy to", case.store.dir().display()));
}

on_each_backend! {
    a_store_moves_to_another_kind_and_back
    a_copy_takes_what_a_result_was_made_from_and_goes_on_where_it_was
    a_store_that_is_whole_is_found_so_and_a_changed_file_is_found
}
