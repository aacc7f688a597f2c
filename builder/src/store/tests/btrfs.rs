//! What only a store of subvolumes does.
#![cfg(target_os = "linux")]
use super::*;
use crate::store::system::subvolume;
use crate::transfer::trees::mounts::can_make_btrfs;

/// An empty place for a store.
fn site() -> Option<Site> {
    can_make_btrfs().then(|| Site::new(Kind::Btrfs))
}

fn case() -> Option<Case> {
    site().map(|site| Case { store: site.open(), site })
}

fn is_read_only(dir: &Path) -> Option<bool> {
    subvolume::read_only(dir).unwrap()
}

impl Case {
    fn result(&self, number: u8) -> PathBuf {
        self.path("result").join(id(number).as_str())
    }
}

#[test]
fn a_result_is_a_read_only_subvolume_and_a_draft_a_writable_one_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    assert_eq!(is_read_only(&case.result(1)), Some(true));
    assert!(fs::write(case.result(1).join("rootfs/1"), "changed").is_err());
    let draft = case.draft(2, Some(1));
    assert_eq!(is_read_only(draft.dir()), Some(false));
}

#[test]
fn a_result_whose_builder_was_killed_before_it_was_read_only_becomes_so_needs_root() {
    let Some(mut case) = case() else { return };
    drop(case.make(1, None));
    subvolume::set_read_only(&case.result(1), false).unwrap();
    case.reopen();
    assert_eq!(is_read_only(&case.result(1)), Some(true));
}

/// What OBuilder 0.7 leaves when it is killed during a build: results and, once a step has used one, caches are
/// read-only snapshots; what is being made is a writable subvolume.
fn filled_by_obuilder(site: &Site) {
    for below in ["result", "result-tmp", "cache", "cache-tmp", "state/db", "state/sandbox"] {
        fs::create_dir_all(site.path(below)).unwrap();
    }
    for below in [format!("result/{}", id(1)), format!("result-tmp/{}", id(2)), "cache/c-na%20me".into()] {
        subvolume::create(&site.path(&below)).unwrap();
    }
    let result = site.path("result").join(id(1).as_str());
    fs::create_dir(result.join("rootfs")).unwrap();
    fs::write(result.join("rootfs/1"), "file 1").unwrap();
    fs::write(result.join("env"), "((env ()))").unwrap();
    fs::write(result.join("log"), "log 1").unwrap();
    fs::write(site.path("cache/c-na%20me/kept"), "kept").unwrap();
    subvolume::snapshot(&result, &site.path("cache-tmp/0-c-na%20me")).unwrap();
    subvolume::set_read_only(&result, true).unwrap();
    subvolume::set_read_only(&site.path("cache/c-na%20me"), true).unwrap();
    let database = Connection::open(site.path("state/db/db.sqlite")).unwrap();
    let table = "CREATE TABLE builds (id TEXT PRIMARY KEY, created DATETIME NOT NULL,
        used DATETIME NOT NULL, rc INTEGER NOT NULL, parent TEXT,
        FOREIGN KEY (parent) REFERENCES builds (id) ON DELETE RESTRICT);";
    database.execute_batch(table).unwrap();
    let add = "INSERT INTO builds VALUES (?1, '2023-01-01 00:00:00', '2023-01-01 00:00:00', 0, NULL)";
    database.execute(add, [id(1).as_str()]).unwrap();
}

#[test]
fn a_store_of_subvolumes_filled_by_obuilder_is_used_on_and_stays_one_needs_root() {
    let Some(site) = site() else { return };
    filled_by_obuilder(&site);
    let case = Case { store: site.open(), site };
    assert!(case.names("result-tmp").is_empty() && case.names("cache-tmp").is_empty());
    assert_eq!(fs::read_to_string(case.store.find(&id(1)).unwrap().unwrap().log()).unwrap(), "log 1");
    let made = case.make(2, Some(1));
    assert_eq!(fs::read_to_string(made.tree().unwrap().join("1")).unwrap(), "file 1");
    let cache = case.store.cache("na me".as_ref(), (0, 0)).unwrap();
    assert_eq!(fs::read_to_string(cache.dir().join("kept")).unwrap(), "kept");
    fs::write(cache.dir().join("kept"), "changed").unwrap();
    cache.release().unwrap();
    assert_eq!(fs::read_to_string(case.path("cache/c-na%20me/kept")).unwrap(), "changed");
    assert!(is_read_only(&case.path("cache/c-na%20me")).is_some());
    assert_eq!(case.names("cache"), ["c-na%20me"]);
    drop(made);
    case.store.delete(&id(2)).unwrap();
    case.store.delete(&id(1)).unwrap();
    assert!(case.names("result").is_empty() && case.rows().is_empty());
}

#[test]
fn subvolumes_that_a_step_made_go_with_its_draft_needs_root() {
    let Some(case) = case() else { return };
    let draft = case.draft(1, None);
    let rootfs = draft.rootfs();
    for below in ["a", "a/b", "a/b/c", "d"] {
        subvolume::create(&rootfs.join(below)).unwrap();
        fs::write(rootfs.join(below).join("file"), "x").unwrap();
    }
    subvolume::set_read_only(&rootfs.join("a/b/c"), true).unwrap();
    for n in 0..120 {
        subvolume::create(&rootfs.join(format!("d/{n}"))).unwrap();
    }
    drop(draft);
    assert!(case.names("result-tmp").is_empty());
}

#[test]
fn subvolumes_that_a_step_made_are_directories_of_its_result_needs_root() {
    let Some(case) = case() else { return };
    let draft = case.draft(1, None);
    let rootfs = draft.rootfs();
    fs::create_dir(rootfs.join("dir")).unwrap();
    for below in ["dir/a", "dir/a/b", "c"] {
        subvolume::create(&rootfs.join(below)).unwrap();
        fs::write(rootfs.join(below).join("file"), below).unwrap();
    }
    for number in 0..300 {
        subvolume::create(&rootfs.join(format!("c/{number}"))).unwrap();
    }
    subvolume::set_read_only(&rootfs.join("dir/a/b"), true).unwrap();
    draft.keep().unwrap();
    let draft = case.draft(2, Some(1));
    for below in ["dir/a", "dir/a/b", "c"] {
        assert_eq!(fs::read_to_string(draft.rootfs().join(below).join("file")).unwrap(), below);
        assert_eq!(is_read_only(&draft.rootfs().join(below)), None);
    }
    assert_eq!(fs::read_dir(draft.rootfs().join("c")).unwrap().count(), 301);
    assert!(subvolume::nested(draft.dir()).unwrap().is_empty());
}

/// Tells the test binary, run again as another user, where that user's store is.
const STORE: &str = "OBUILDER_TEST_STORE_OF_A_USER";

#[test]
#[ignore = "is run by another test as a process of its own"]
fn ordinary_user() {
    let Some(url) = std::env::var_os(STORE) else { return };
    let url = url.into_string().unwrap().parse().unwrap();
    let store = open(&url).unwrap();
    for number in 1..=3 {
        let draft = draft(&*store, number, (number > 1).then(|| number - 1));
        fs::write(draft.rootfs().join(number.to_string()), "x").unwrap();
        if number == 2 {
            subvolume::create(&draft.rootfs().join("nested")).unwrap();
            fs::write(draft.rootfs().join("nested/file"), "x").unwrap();
        }
        draft.keep().unwrap();
    }
    drop(draft(&*store, 4, Some(3)));
    assert_eq!(fs::read_dir(tree(&*store, 3)).unwrap().count(), 4);
    assert_eq!(fs::read_dir(tree(&*store, 3).join("nested")).unwrap().count(), 1);
    let owner = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    for _ in 0..2 {
        let cache = store.cache("c".as_ref(), owner).unwrap();
        fs::write(cache.dir().join("kept"), "kept").unwrap();
        cache.release().unwrap();
    }
    store.delete(&id(3)).unwrap();
    store.sync().unwrap();
    drop(store);
    let left = crate::store::doctor::examine(&url).unwrap();
    assert!(left.is_empty(), "{left:?}");
    let store = open(&url).unwrap();
    assert_eq!(store.list().unwrap().len(), 2);
    eprintln!("done");
}

#[test]
fn an_ordinary_user_has_a_store_of_subvolumes_too_needs_root() {
    use std::os::unix::process::CommandExt as _;
    let Some(site) = site() else { return };
    let readable = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(site.temp.path(), readable()).unwrap();
    // Others may not be able to read where the tests were built.
    let binary = site.temp.path().join("binary");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let mnt = site.temp.path().join("mnt");
    for (name, options) in [("strict", "rw"), ("lenient", "user_subvol_rm_allowed")] {
        let mut remount = std::process::Command::new("mount");
        remount.args(["-o", &format!("remount,{options}")]).arg(&mnt);
        assert!(remount.status().unwrap().success());
        let home = mnt.join(name);
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(61077), Some(61077)).unwrap();
        let run = std::process::Command::new(&binary)
            .args(["--exact", "store::tests::btrfs::ordinary_user", "--ignored", "--nocapture"])
            .env(STORE, format!("btrfs:{}/store", home.display()))
            .uid(61077)
            .gid(61077)
            .current_dir("/")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && said.contains("done"), "{name}: {said}");
    }
}

#[test]
fn no_more_is_pruned_than_has_to_go_though_space_is_freed_later_needs_root() {
    use crate::store::removal::{Rules, prune};
    let Some(case) = case() else { return };
    for number in 1..=3 {
        let draft = case.draft(number, None);
        fs::write(draft.rootfs().join("large"), vec![number; 40 << 20]).unwrap();
        drop(draft.keep().unwrap());
    }
    case.store.sync().unwrap();
    let space = nix::sys::statvfs::statvfs(case.store.dir()).unwrap();
    let free = 100 * space.blocks_available() / space.blocks();
    let rules = Rules { free: Some(u8::try_from(free).unwrap() + 8), ..Rules::default() };
    let removed = prune(&*case.store, &rules, |_| ()).unwrap().removed;
    assert_eq!((removed, case.names("result").len()), (1, 2));
}

#[test]
fn a_result_that_was_copied_there_as_a_plain_directory_serves_and_goes_needs_root() {
    let Some(case) = case() else { return };
    fs::create_dir_all(case.result(1).join("rootfs/dir")).unwrap();
    fs::write(case.result(1).join("log"), "log 1").unwrap();
    fs::write(case.result(1).join("env"), "((env ()))").unwrap();
    let draft = case.draft(2, Some(1));
    assert!(draft.rootfs().join("dir").is_dir() && draft.env().exists() && !draft.log().exists());
    drop(draft);
    case.store.delete(&id(1)).unwrap();
    assert!(case.names("result").is_empty());
}

#[test]
fn a_directory_on_another_file_system_is_refused_and_not_made_needs_root() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("on/tmpfs");
    fs::create_dir(temp.path().join("on")).unwrap();
    if !crate::transfer::trees::mounts::tmpfs(&temp.path().join("on"), "1m") {
        return;
    }
    let error = open(&StoreUrl::Btrfs(dir.clone())).err().unwrap().to_string();
    let shown = dir.display();
    let what = "is not on a btrfs file system; give a directory that is, or use";
    assert_eq!(error, format!("the store {shown} {what} --store=rsync:{shown}"));
    assert!(!dir.exists());
}
