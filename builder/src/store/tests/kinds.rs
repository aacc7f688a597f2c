//! Which kind of store a directory holds.
use super::*;
use crate::store::auto::{Choice, choose};

fn a_store_remembers_its_kind(kind: Kind) {
    let case = Case::new(kind);
    let (url, dir) = (case.url(), case.url().dir().to_owned());
    case.make(1, None);
    assert_eq!(choose(&StoreUrl::Auto(dir.clone())).unwrap(), Choice { url: url.clone(), why: None });
    assert!(open(&StoreUrl::Auto(dir.clone())).unwrap().find(&id(1)).unwrap().is_some());
    let others = [
        StoreUrl::Rsync(dir.clone()),
        StoreUrl::Xfs(dir.clone()),
        StoreUrl::Btrfs(dir.clone()),
        StoreUrl::Overlayfs(dir.clone()),
    ];
    for other in others.iter().filter(|other| **other != url) {
        let error = open(other).err().unwrap().to_string();
        let (kind, dir) = (url.kind(), dir.display());
        let expected = format!(
            "the store {dir} is of the kind {kind}; use --store={kind}:{dir}, or move its results to a store \
             elsewhere with obuilder store copy"
        );
        assert_eq!(error, expected);
        assert_eq!(crate::store::open_existing(other).err().unwrap().to_string(), expected);
    }
    assert!(case.found(1));
}

fn a_store_of_a_newer_version_is_refused(kind: Kind) {
    let case = Case::new(kind);
    let url = case.url();
    fs::write(case.path("state/kind"), format!("{} 2\n", url.kind())).unwrap();
    let error = open(&url).err().unwrap().to_string();
    let dir = url.dir().display();
    assert_eq!(
        error,
        format!(
            "the store {dir} was made by a newer version of obuilder (its format is 2, the newest known here 1); \
             use that version"
        )
    );
    assert_eq!(open(&StoreUrl::Auto(url.dir().to_owned())).err().unwrap().to_string(), error);
}

fn the_best_kind_for_a_place_is_chosen(kind: Kind) {
    let site = Site::new(kind);
    let url = StoreUrl::Auto(site.url().dir().join("new"));
    let choice = choose(&url).unwrap();
    assert!(choice.why.is_some());
    // What plain directories are on is this machine's.
    if matches!(kind, Kind::Btrfs | Kind::Xfs | Kind::Overlayfs) {
        assert_eq!(choice.url.kind(), site.url().kind());
    }
    assert_eq!(choice.url.dir(), url.dir());
    assert!(!url.dir().exists());
}

#[test]
fn a_store_that_obuilder_filled_is_of_the_kind_that_its_results_are() {
    let site = Site::new(Kind::Directories);
    site.fill_as_obuilder(1, 2);
    let choice = choose(&StoreUrl::Auto(site.url().dir().to_owned())).unwrap();
    assert_eq!(choice, Choice { url: site.url(), why: None });
    fs::create_dir(site.path("in-progress")).unwrap();
    let choice = choose(&StoreUrl::Auto(site.url().dir().to_owned())).unwrap();
    assert_eq!(choice.url, StoreUrl::Overlayfs(site.url().dir().to_owned()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_place_that_shares_no_blocks_is_refused_and_not_made_needs_root() {
    if !Kind::Overlayfs.can_be_made() {
        return;
    }
    let site = Site::new(Kind::Overlayfs);
    let (dir, shown) = (site.path(""), site.path("").display().to_string());
    let error = open(&StoreUrl::Xfs(dir.clone())).err().unwrap().to_string();
    assert_eq!(
        error,
        format!(
            "the file system of the store {shown} does not share blocks between files; use --store=auto:{shown}, \
             or a directory on XFS, btrfs or another file system with reflinks"
        )
    );
    assert!(!dir.exists());
    let none = crate::store::auto::find(&StoreUrl::Auto(dir.clone())).unwrap_err().to_string();
    assert!(none.starts_with("there is no store in ") && !dir.exists(), "{none}");
}

#[test]
fn hard_links_are_only_for_stores_of_the_kind_rsync() {
    let temp = TempDir::new().unwrap();
    let url = StoreUrl::Overlayfs(temp.path().join("store"));
    let error = open_sharing(&url, Some(Sharing::Hardlink)).err().unwrap().to_string();
    assert_eq!(error, format!("--rsync-mode is only for stores of the kind rsync, not for {url}"));
    assert!(!url.dir().exists());
}

on_each_backend! {
    a_store_remembers_its_kind
    a_store_of_a_newer_version_is_refused
    the_best_kind_for_a_place_is_chosen
}
