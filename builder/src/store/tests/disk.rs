//! Disks that are full, read-only or damaged.
use super::*;

#[test]
fn a_damaged_database_is_named_with_what_to_do() {
    let case = Case::new(Kind::Directories);
    let path = case.path("state/db/db.sqlite");
    for name in case.names("state/db") {
        fs::remove_file(case.path("state/db").join(name)).unwrap();
    }
    fs::write(&path, vec![b'x'; 10_000]).unwrap();
    let error = open(&case.url()).err().unwrap().to_string();
    let why = "it is damaged; obuilder doctor --repair makes it anew from the results";
    assert_eq!(error, format!("cannot use the database {}: {why}", path.display()));
}

#[test]
fn a_store_that_cannot_be_there_is_named() {
    let site = Site::new(Kind::Directories);
    let dir = site.temp.path().join("store");
    fs::write(&dir, "a file").unwrap();
    let error = open(&site.url()).err().unwrap().to_string();
    let start = format!("cannot make the store {}: ", dir.display());
    assert!(error.starts_with(&start), "{error}");
}

#[cfg(target_os = "linux")]
mod mounted {
    use super::*;
    use crate::transfer::trees::mounts;

    fn mounted(size: &str) -> Option<Case> {
        let site = Site::new(Kind::Directories);
        let dir = site.path("");
        fs::create_dir(&dir).unwrap();
        mounts::tmpfs(&dir, size).then(|| Case { store: site.open(), site })
    }

    #[test]
    fn a_clone_that_does_not_fit_is_named_and_leaves_nothing_needs_root() {
        let Some(case) = mounted("4m") else { return };
        let draft = case.draft(1, None);
        fs::write(draft.rootfs().join("large"), vec![1; 2 << 20]).unwrap();
        draft.keep().unwrap();
        let error = case.store.claim(&id(2), Some(&id(1))).err().unwrap().to_string();
        let path = case.path("result-tmp").join(id(2).as_str()).join("rootfs/large");
        assert_eq!(
            error,
            format!("cannot write {}: no space left on the device that holds it", path.display())
        );
        assert!(case.names("result-tmp").is_empty());
        assert!(case.found(1));
    }

    #[test]
    fn a_result_that_cannot_be_registered_is_not_kept_needs_root() {
        let Some(case) = mounted("2m") else { return };
        let draft = case.draft(1, None);
        let filler = case.path("filler");
        let mut size = 2 << 20;
        while size > 0 {
            let _ = fs::write(&filler, vec![1; size]);
            if nix::sys::statvfs::statvfs(&filler).unwrap().blocks_free() == 0 {
                break;
            }
            size += 1 << 20;
        }
        let error = draft.keep().err().unwrap().to_string();
        assert!(error.contains("no space left on the device"), "{error}");
        drop(case.store.find(&id(2)).unwrap());
        fs::remove_file(&filler).unwrap();
        assert!(case.names("result").is_empty() && case.names("result-tmp").is_empty());
        assert!(!case.found(1));
        case.make(1, None);
    }

    #[test]
    fn a_read_only_store_is_named_needs_root() {
        let Some(case) = mounted("4m") else { return };
        let site = case.site;
        drop(case.store);
        mounts::read_only(&site.path(""));
        let error = open(&site.url()).err().unwrap().to_string();
        let path = site.path("state/locks/opening");
        assert_eq!(error, format!("cannot lock {}: its file system is read-only", path.display()));
    }
}

/// Devices that are full, of each kind that has one of its own.
#[cfg(target_os = "linux")]
mod full {
    use std::io::Write as _;

    use super::*;

    /// Fills the device that the store is on, to its last byte.
    fn fill(case: &Case) -> PathBuf {
        let path = case.path("").with_file_name("filler");
        let mut file = fs::File::create(&path).unwrap();
        let mut size = 64 << 20;
        let block = vec![7_u8; 1 << 20];
        while size >= 512 {
            let chunk = size.min(block.len());
            if file.write_all(&block[..chunk]).and_then(|()| file.sync_data()).is_err() {
                size /= 2;
            }
        }
        path
    }

    fn is_told(error: &StoreError) {
        let error = error.to_string();
        assert!(error.contains("no space left on the device") && !error.contains('\n'), "{error}");
    }

    /// A result and a cache.
    fn case(kind: Kind) -> Case {
        let case = Case::new(kind);
        case.make(1, None);
        let cache = case.store.cache("c".as_ref(), (0, 0)).unwrap();
        fs::write(cache.dir().join("kept"), "kept").unwrap();
        cache.release().unwrap();
        case.store.sync().unwrap();
        case
    }

    /// With room again, all is as it was and goes on.
    fn recovers(mut case: Case, filler: &Path) {
        fs::remove_file(filler).unwrap();
        case.store.reclaim().unwrap();
        case.reopen();
        assert_eq!(fs::read_to_string(tree(&*case.store, 1).join("1")).unwrap(), "file 1");
        let findings = crate::store::doctor::examine(&case.url()).unwrap();
        assert!(findings.is_empty(), "{findings:?}");
        let cache = case.store.cache("c".as_ref(), (0, 0)).unwrap();
        assert_eq!(fs::read_to_string(cache.dir().join("kept")).unwrap(), "kept");
        drop(cache);
        if !case.found(2) {
            case.make(2, Some(1));
        }
        assert_eq!(case.store.list().unwrap().len(), 2);
    }

    fn a_device_that_is_full_before_a_step_is_told_and_nothing_is_lost(kind: Kind) {
        let case = case(kind);
        let filler = fill(&case);
        match case.store.claim(&id(2), Some(&id(1))) {
            Ok(Claim::Build(draft)) => {
                let large = fs::write(draft.rootfs().join("large"), vec![7; 4 << 20]);
                assert_eq!(large.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
            }
            Ok(Claim::Cached(_)) => panic!("nobody made it"),
            Err(error) => is_told(&error),
        }
        if let Err(error) = case.store.cache("c".as_ref(), (0, 0)) {
            is_told(&error);
        }
        recovers(case, &filler);
    }

    fn a_device_that_fills_during_a_step_is_told_and_nothing_is_lost(kind: Kind) {
        let case = case(kind);
        let draft = case.draft(2, Some(1));
        fs::write(draft.rootfs().join("2"), "file 2").unwrap();
        let cache = case.store.cache("c".as_ref(), (0, 0)).unwrap();
        let filler = fill(&case);
        if let Err(error) = cache.release() {
            is_told(&error);
        }
        if let Err(error) = draft.keep() {
            is_told(&error);
        }
        recovers(case, &filler);
    }

    fn results_are_deleted_from_a_full_device(kind: Kind) {
        let case = case(kind);
        let draft = case.draft(2, Some(1));
        fs::write(draft.rootfs().join("large"), vec![7; 8 << 20]).unwrap();
        drop(draft.keep().unwrap());
        case.store.sync().unwrap();
        let filler = fill(&case);
        case.store.delete(&id(2)).unwrap();
        case.store.reclaim().unwrap();
        fs::write(case.path("").with_file_name("room"), vec![7; 4 << 20]).unwrap();
        recovers(case, &filler);
    }

    macro_rules! on_full_devices {
        ($($name:ident)*) => {
            on_backend! { btrfs_needs_root Btrfs: $($name)* }
            on_backend! { xfs_needs_root Xfs: $($name)* }
            on_backend! { overlayfs_needs_root Overlayfs: $($name)* }
        };
    }

    on_full_devices! {
        a_device_that_is_full_before_a_step_is_told_and_nothing_is_lost
        a_device_that_fills_during_a_step_is_told_and_nothing_is_lost
        results_are_deleted_from_a_full_device
    }
}
