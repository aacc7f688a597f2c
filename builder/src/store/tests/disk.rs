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
