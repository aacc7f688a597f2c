//! What every store does, whatever its backend; run on each by [`on_each_backend`].

/// Makes a test for each backend of each of the functions named, which are given the [`Kind`] of store.
macro_rules! on_each_backend {
    ($($name:ident)*) => {
        mod directories {
            $(#[test] fn $name() { super::$name($crate::store::tests::Kind::Directories); })*
        }
        #[cfg(target_os = "linux")]
        mod btrfs_needs_root {
            $(#[test] fn $name() {
                if $crate::transfer::trees::mounts::can_make_btrfs() {
                    super::$name($crate::store::tests::Kind::Btrfs);
                }
            })*
        }
        #[cfg(target_os = "linux")]
        mod directories_on_btrfs_needs_root {
            $(#[test] fn $name() {
                if $crate::transfer::trees::mounts::can_make_btrfs() {
                    super::$name($crate::store::tests::Kind::OnBtrfs);
                }
            })*
        }
    };
}

mod btrfs;
mod caches;
mod crash;
mod disk;
mod doctor;
mod removal;
mod tree;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::transfer::trees::facts;

/// The backends there are.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Directories,
    /// Directories whose trees are subvolumes.
    OnBtrfs,
    Btrfs,
}

/// Where a store may be made: a directory of its own, on the file system that its kind needs.
struct Site {
    temp: TempDir,
    kind: Kind,
}

impl Site {
    fn new(kind: Kind) -> Self {
        let temp = TempDir::new().unwrap();
        #[cfg(target_os = "linux")]
        if let Kind::Btrfs | Kind::OnBtrfs = kind {
            fs::create_dir(temp.path().join("mnt")).unwrap();
            assert!(crate::transfer::trees::mounts::btrfs(&temp.path().join("mnt")));
        }
        Self { temp, kind }
    }

    fn url(&self) -> StoreUrl {
        match self.kind {
            Kind::Directories => StoreUrl::Rsync(self.temp.path().join("store")),
            Kind::OnBtrfs => StoreUrl::Rsync(self.temp.path().join("mnt/store")),
            Kind::Btrfs => StoreUrl::Btrfs(self.temp.path().join("mnt/store")),
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.url().dir().join(below)
    }

    fn open(&self) -> Arc<dyn Store> {
        open(&self.url()).unwrap()
    }
}

/// What is mounted goes before the directory it is mounted on.
impl Drop for Site {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Kind::Btrfs | Kind::OnBtrfs = self.kind {
            nix::mount::umount2(&self.temp.path().join("mnt"), nix::mount::MntFlags::MNT_DETACH).unwrap();
        }
    }
}

/// A store.
struct Case {
    store: Arc<dyn Store>,
    site: Site,
}

impl Case {
    fn new(kind: Kind) -> Self {
        let site = Site::new(kind);
        Self { store: site.open(), site }
    }

    fn url(&self) -> StoreUrl {
        self.site.url()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.site.path(below)
    }

    fn reopen(&mut self) {
        self.store = self.site.open();
    }

    /// Takes the result `number` away behind the store's back.
    fn lose(&self, number: u8) {
        backend(&self.url()).unwrap().discard(&self.path("result").join(id(number).as_str())).unwrap();
    }

    fn draft(&self, number: u8, base: Option<u8>) -> Box<dyn Draft> {
        draft(&*self.store, number, base)
    }

    /// Makes the result `number`, which holds a file of that name.
    fn make(&self, number: u8, base: Option<u8>) -> Finished {
        let draft = self.draft(number, base);
        fs::write(draft.rootfs().join(number.to_string()), format!("file {number}")).unwrap();
        fs::write(draft.log(), format!("log {number}")).unwrap();
        if base.is_none() {
            fs::write(draft.env(), "((env ((PATH /bin))))").unwrap();
        }
        draft.keep().unwrap()
    }

    fn found(&self, number: u8) -> bool {
        self.store.find(&id(number)).unwrap().is_some()
    }

    fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `(id, rc, parent)` of all rows.
    fn rows(&self) -> Vec<(String, i64, Option<String>)> {
        let database = Connection::open(self.path("state/db/db.sqlite")).unwrap();
        let mut select = database.prepare("SELECT id, rc, parent FROM builds ORDER BY id").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

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

fn what_is_kept_is_found_with_its_tree_log_and_environment(kind: Kind) {
    let case = Case::new(kind);
    assert!(!case.found(1));
    let kept = case.make(1, None);
    let found = case.store.find(&id(1)).unwrap().unwrap();
    assert_eq!(found.rootfs(), kept.rootfs());
    assert_eq!(found.rootfs(), case.path("result").join(id(1).as_str()).join("rootfs"));
    assert_eq!(fs::read_to_string(found.rootfs().join("1")).unwrap(), "file 1");
    assert_eq!(fs::read_to_string(found.log()).unwrap(), "log 1");
    assert_eq!(fs::read_to_string(found.env()).unwrap(), "((env ((PATH /bin))))");
    assert!(matches!(case.store.claim(&id(1), None).unwrap(), Claim::Cached(_)));
    assert!(case.names("result-tmp").is_empty());
}

fn a_draft_starts_as_its_base_without_the_log_and_leaves_the_base_alone(kind: Kind) {
    let case = Case::new(kind);
    let base = case.make(1, None);
    let before = facts(&base.rootfs());
    let draft = case.draft(2, Some(1));
    assert_eq!(facts(&draft.rootfs()), before);
    assert_eq!(fs::read_to_string(draft.env()).unwrap(), "((env ((PATH /bin))))");
    assert!(!draft.log().exists());
    fs::write(draft.rootfs().join("1"), "changed").unwrap();
    fs::write(draft.rootfs().join("new"), "new").unwrap();
    draft.keep().unwrap();
    assert_eq!(facts(&base.rootfs()), before);
}

fn a_dropped_draft_leaves_nothing(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    drop(case.draft(2, Some(1)));
    assert!(case.names("result-tmp").is_empty());
    assert!(!case.found(2));
    assert_eq!(case.rows(), [row(1, 0, None)]);
    case.make(2, Some(1));
}

fn a_base_that_is_not_there_is_named_and_nothing_is_left(kind: Kind) {
    let case = Case::new(kind);
    let error = case.store.claim(&id(2), Some(&id(1))).err().unwrap().to_string();
    let dir = case.store.dir().display();
    assert_eq!(error, format!("the store {dir} has no result {} to build on", id(1)));
    assert!(case.names("result-tmp").is_empty());
    assert!(case.store.try_claim(&id(2), None).unwrap().is_some());
}

fn rows_count_children_and_times_are_in_utc_to_the_second(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    case.make(3, Some(1));
    case.make(4, Some(3));
    assert_eq!(case.rows(), [row(1, 2, None), row(2, 0, Some(1)), row(3, 1, Some(1)), row(4, 0, Some(3))]);
    let database = Connection::open(case.path("state/db/db.sqlite")).unwrap();
    let in_form = "SELECT count(*) FROM builds WHERE created = datetime(created) AND used = datetime(used)
        AND abs(julianday('now') - julianday(used)) < 0.01";
    assert_eq!(database.query_row(in_form, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
    let mode: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

fn finding_a_result_marks_it_as_used(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    let database = Connection::open(case.path("state/db/db.sqlite")).unwrap();
    database.execute("UPDATE builds SET used = '2001-02-03 04:05:06', created = used", []).unwrap();
    assert!(case.found(1));
    case.store.sync().unwrap();
    let select = "SELECT used > '2020', created < '2020' OR created > '2020' FROM builds";
    assert_eq!(database.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap(), (true, true));
}

fn a_result_that_others_are_built_on_is_not_deleted(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    let error = case.store.delete(&id(1)).unwrap_err().to_string();
    assert_eq!(error, format!("cannot delete {}: 1 other result is built on it; delete that first", id(1)));
    assert!(case.found(1));
    case.store.delete(&id(2)).unwrap();
    assert_eq!(case.rows(), [row(1, 0, None)]);
    case.store.delete(&id(1)).unwrap();
    case.store.delete(&id(1)).unwrap();
    assert!(case.rows().is_empty() && case.names("result").is_empty() && case.names("result-tmp").is_empty());
}

fn a_result_in_the_making_is_not_deleted(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    let error = case.store.delete(&id(1)).unwrap_err().to_string();
    assert_eq!(error, format!("cannot delete {}: a build is using it; try again when it is done", id(1)));
    draft.keep().unwrap();
}

fn a_result_that_is_used_is_not_deleted_by_anybody(kind: Kind) {
    let case = Case::new(kind);
    let used = case.make(1, None);
    let others = case.site.open();
    let refusal = format!("cannot delete {}: a build is using it; try again when it is done", id(1));
    assert_eq!(others.delete(&id(1)).unwrap_err().to_string(), refusal);
    let clone = used.clone();
    drop(used);
    assert_eq!(others.delete(&id(1)).unwrap_err().to_string(), refusal);
    drop(clone);
    let draft = case.draft(2, Some(1));
    assert_eq!(others.delete(&id(1)).unwrap_err().to_string(), refusal);
    drop(draft);
    others.delete(&id(1)).unwrap();
    assert!(case.rows().is_empty());
}

fn a_result_without_a_row_gets_one_when_it_is_found(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    let database = Connection::open(case.path("state/db/db.sqlite")).unwrap();
    database.execute("DELETE FROM builds", []).unwrap();
    assert!(case.found(1));
    case.store.sync().unwrap();
    assert_eq!(case.rows(), [row(1, 0, None)]);
}

fn a_base_without_a_row_gets_one_with_its_first_child(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    Connection::open(case.path("state/db/db.sqlite")).unwrap().execute("DELETE FROM builds", []).unwrap();
    case.make(2, Some(1));
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 0, Some(1))]);
}

fn a_row_without_a_result_goes_when_it_is_missed(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    case.lose(2);
    assert!(!case.found(2));
    assert_eq!(case.rows(), [row(1, 0, None)]);
}

fn a_lost_result_with_children_keeps_its_count_and_can_be_made_again(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    case.make(3, Some(2));
    case.lose(2);
    assert!(!case.found(2));
    let rows = [row(1, 1, None), row(2, 1, Some(1)), row(3, 0, Some(2))];
    assert_eq!(case.rows(), rows);
    case.make(2, Some(1));
    assert_eq!(case.rows(), rows);
}

fn a_result_that_is_not_whole_is_made_again(kind: Kind) {
    let case = Case::new(kind);
    let half = case.path("result").join(id(1).as_str());
    fs::create_dir(&half).unwrap();
    fs::write(half.join("log"), "half").unwrap();
    assert!(!case.found(1));
    let made = case.make(1, None);
    assert_eq!(fs::read_to_string(made.log()).unwrap(), "log 1");
}

fn build_users_cannot_reach_into_a_store(kind: Kind) {
    let mut case = Case::new(kind);
    let mode = |below: &str| fs::metadata(case.path(below)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o755);
    let inner = ["result", "result-tmp", "cache", "cache-tmp", "state"];
    assert_eq!(inner.map(mode), [0o700; 5]);
    fs::set_permissions(case.path("result"), fs::Permissions::from_mode(0o755)).unwrap();
    case.reopen();
    assert_eq!(fs::metadata(case.path("result")).unwrap().permissions().mode() & 0o777, 0o700);
}

fn a_store_that_others_can_write_is_refused(kind: Kind) {
    let site = Site::new(kind);
    let dir = site.path("");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o775)).unwrap();
    let error = open(&site.url()).err().unwrap().to_string();
    let url = site.url();
    let dir = url.dir().display();
    assert_eq!(error, format!("the store {dir} can be written by others (mode 0775); run: chmod go-w {dir}"));
}

fn a_store_filled_by_obuilder_is_used_on(kind: Kind) {
    let site = Site::new(kind);
    let dir = site.path("");
    let result = dir.join("result").join(id(1).as_str());
    fs::create_dir_all(result.join("rootfs")).unwrap();
    fs::create_dir_all(dir.join("state/db")).unwrap();
    fs::create_dir_all(dir.join("result-tmp").join(id(2).as_str()).join("rootfs")).unwrap();
    fs::write(result.join("env"), "((env ()))").unwrap();
    let database = Connection::open(dir.join("state/db/db.sqlite")).unwrap();
    let table = "CREATE TABLE IF NOT EXISTS builds (id TEXT PRIMARY KEY, created DATETIME NOT NULL,
        used DATETIME NOT NULL, rc INTEGER NOT NULL, parent TEXT,
        FOREIGN KEY (parent) REFERENCES builds (id) ON DELETE RESTRICT);
        CREATE INDEX lru ON builds (rc, used);
        PRAGMA journal_mode = WAL;";
    database.execute_batch(table).unwrap();
    let add = "INSERT INTO builds VALUES (?1, '2023-01-01 00:00:00', '2023-01-01 00:00:00', 0, NULL)";
    database.execute(add, [id(1).as_str()]).unwrap();
    let case = Case { store: site.open(), site };
    assert!(case.found(1));
    case.make(2, Some(1));
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 0, Some(1))]);
}

fn of_two_that_claim_one_id_one_builds_and_the_other_gets_what_it_made(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    assert!(case.store.try_claim(&id(1), None).unwrap().is_none());
    fs::write(draft.log(), "so far").unwrap();
    assert_eq!(fs::read_to_string(case.store.log_in_the_making(&id(1))).unwrap(), "so far");
    let (send, receive) = mpsc::channel();
    let second = case.site.open();
    let waiting = thread::spawn(move || {
        let claim = second.claim(&id(1), None).unwrap();
        send.send(()).unwrap();
        matches!(claim, Claim::Cached(found) if found.rootfs().join("x").exists())
    });
    assert!(receive.try_recv().is_err());
    fs::write(draft.rootfs().join("x"), "x").unwrap();
    draft.keep().unwrap();
    assert!(waiting.join().unwrap());
}

fn who_waited_for_a_draft_that_was_dropped_makes_it(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    fs::write(draft.rootfs().join("half"), "x").unwrap();
    let store = Arc::clone(&case.store);
    let waiting = thread::spawn(move || match store.claim(&id(1), None).unwrap() {
        Claim::Build(draft) => fs::read_dir(draft.rootfs()).unwrap().count(),
        Claim::Cached(_) => panic!("nothing was kept"),
    });
    drop(draft);
    assert_eq!(waiting.join().unwrap(), 0);
}

fn many_threads_and_stores_make_each_result_once(kind: Kind) {
    let case = Case::new(kind);
    case.make(0, None);
    let made: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let site = &case.site;
                scope.spawn(move || {
                    let store = site.open();
                    let mut made = 0;
                    for step in 0..12_u8 {
                        let number = 1 + (step + worker) % 12;
                        if let Claim::Build(draft) = store.claim(&id(number), Some(&id(0))).unwrap() {
                            fs::write(draft.rootfs().join("new"), number.to_string()).unwrap();
                            draft.keep().unwrap();
                            made += 1;
                        }
                    }
                    made
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(made, 12);
    assert_eq!(case.rows()[0], row(0, 12, None));
    assert_eq!(case.rows().len(), 13);
}

fn lock_files_do_not_pile_up(kind: Kind) {
    let mut case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    let draft = case.draft(3, None);
    case.reopen();
    assert_eq!(case.names("state/locks"), [id(3).to_string()]);
    drop(draft);
}

fn a_chain_of_200_steps_has_what_each_of_them_made(kind: Kind) {
    let case = Case::new(kind);
    for number in 1..=200 {
        case.make(number, (number > 1).then(|| number - 1));
    }
    let last = case.store.find(&id(200)).unwrap().unwrap();
    assert_eq!(fs::read_dir(last.rootfs()).unwrap().count(), 200);
    assert_eq!(fs::read_to_string(last.rootfs().join("1")).unwrap(), "file 1");
    assert_eq!(case.rows().len(), 200);
    drop(last);
    assert_eq!(crate::store::removal::delete(&*case.store, &id(1), |_| ()).unwrap(), 200);
    assert!(case.names("result").is_empty());
}

fn names_of_odd_bytes_and_all_kinds_of_files_stay_as_they_are(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    let odd = OsStr::from_bytes(b"\xff\n \\'\"\x01");
    fs::create_dir(draft.rootfs().join(odd)).unwrap();
    fs::write(draft.rootfs().join(odd).join(odd), "odd").unwrap();
    std::os::unix::fs::symlink(odd, draft.rootfs().join("link")).unwrap();
    fs::hard_link(draft.rootfs().join(odd).join(odd), draft.rootfs().join("again")).unwrap();
    nix::unistd::mkfifo(&draft.rootfs().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let before = facts(&draft.rootfs());
    let kept = draft.keep().unwrap();
    assert_eq!(facts(&kept.rootfs()), before);
    assert_eq!(facts(&case.draft(2, Some(1)).rootfs()), before);
}

on_each_backend! {
    what_is_kept_is_found_with_its_tree_log_and_environment
    a_draft_starts_as_its_base_without_the_log_and_leaves_the_base_alone
    a_dropped_draft_leaves_nothing
    a_base_that_is_not_there_is_named_and_nothing_is_left
    rows_count_children_and_times_are_in_utc_to_the_second
    finding_a_result_marks_it_as_used
    a_result_that_others_are_built_on_is_not_deleted
    a_result_in_the_making_is_not_deleted
    a_result_that_is_used_is_not_deleted_by_anybody
    a_result_without_a_row_gets_one_when_it_is_found
    a_base_without_a_row_gets_one_with_its_first_child
    a_row_without_a_result_goes_when_it_is_missed
    a_lost_result_with_children_keeps_its_count_and_can_be_made_again
    a_result_that_is_not_whole_is_made_again
    build_users_cannot_reach_into_a_store
    a_store_that_others_can_write_is_refused
    a_store_filled_by_obuilder_is_used_on
    of_two_that_claim_one_id_one_builds_and_the_other_gets_what_it_made
    who_waited_for_a_draft_that_was_dropped_makes_it
    many_threads_and_stores_make_each_result_once
    lock_files_do_not_pile_up
    a_chain_of_200_steps_has_what_each_of_them_made
    names_of_odd_bytes_and_all_kinds_of_files_stay_as_they_are
}
