//! What every store does, whatever its backend; run on each by [`stores`].
mod crash;
mod disk;
mod doctor;
mod removal;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::transfer::trees::facts;

/// A store in a directory of its own.
struct Case {
    temp: TempDir,
    store: Arc<dyn Store>,
}

impl Case {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let store = open(&url(temp.path())).unwrap();
        Self { temp, store }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.temp.path().join("store").join(below)
    }

    fn reopen(&mut self) {
        self.store = open(&url(self.temp.path())).unwrap();
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

fn url(dir: &Path) -> StoreUrl {
    StoreUrl::Rsync(dir.join("store"))
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

#[test]
fn what_is_kept_is_found_with_its_tree_log_and_environment() {
    let case = Case::new();
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

#[test]
fn a_draft_starts_as_its_base_without_the_log_and_leaves_the_base_alone() {
    let case = Case::new();
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

#[test]
fn a_dropped_draft_leaves_nothing() {
    let case = Case::new();
    case.make(1, None);
    drop(case.draft(2, Some(1)));
    assert!(case.names("result-tmp").is_empty());
    assert!(!case.found(2));
    assert_eq!(case.rows(), [row(1, 0, None)]);
    case.make(2, Some(1));
}

#[test]
fn a_base_that_is_not_there_is_named_and_nothing_is_left() {
    let case = Case::new();
    let error = case.store.claim(&id(2), Some(&id(1))).err().unwrap().to_string();
    let dir = case.store.dir().display();
    assert_eq!(error, format!("the store {dir} has no result {} to build on", id(1)));
    assert!(case.names("result-tmp").is_empty());
    assert!(case.store.try_claim(&id(2), None).unwrap().is_some());
}

#[test]
fn rows_count_children_and_times_are_in_utc_to_the_second() {
    let case = Case::new();
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

#[test]
fn finding_a_result_marks_it_as_used() {
    let case = Case::new();
    case.make(1, None);
    let database = Connection::open(case.path("state/db/db.sqlite")).unwrap();
    database.execute("UPDATE builds SET used = '2001-02-03 04:05:06', created = used", []).unwrap();
    assert!(case.found(1));
    case.store.sync().unwrap();
    let select = "SELECT used > '2020', created < '2020' OR created > '2020' FROM builds";
    assert_eq!(database.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap(), (true, true));
}

#[test]
fn a_result_that_others_are_built_on_is_not_deleted() {
    let case = Case::new();
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

#[test]
fn a_result_in_the_making_is_not_deleted() {
    let case = Case::new();
    let draft = case.draft(1, None);
    let error = case.store.delete(&id(1)).unwrap_err().to_string();
    assert_eq!(error, format!("cannot delete {}: a build is using it; try again when it is done", id(1)));
    draft.keep().unwrap();
}

#[test]
fn a_result_that_is_used_is_not_deleted_by_anybody() {
    let case = Case::new();
    let used = case.make(1, None);
    let others = open(&url(case.temp.path())).unwrap();
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

#[test]
fn a_result_without_a_row_gets_one_when_it_is_found() {
    let case = Case::new();
    case.make(1, None);
    let database = Connection::open(case.path("state/db/db.sqlite")).unwrap();
    database.execute("DELETE FROM builds", []).unwrap();
    assert!(case.found(1));
    case.store.sync().unwrap();
    assert_eq!(case.rows(), [row(1, 0, None)]);
}

#[test]
fn a_base_without_a_row_gets_one_with_its_first_child() {
    let case = Case::new();
    case.make(1, None);
    Connection::open(case.path("state/db/db.sqlite")).unwrap().execute("DELETE FROM builds", []).unwrap();
    case.make(2, Some(1));
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 0, Some(1))]);
}

#[test]
fn a_row_without_a_result_goes_when_it_is_missed() {
    let case = Case::new();
    case.make(1, None);
    case.make(2, Some(1));
    fs::remove_dir_all(case.path("result").join(id(2).as_str())).unwrap();
    assert!(!case.found(2));
    assert_eq!(case.rows(), [row(1, 0, None)]);
}

#[test]
fn a_lost_result_with_children_keeps_its_count_and_can_be_made_again() {
    let case = Case::new();
    case.make(1, None);
    case.make(2, Some(1));
    case.make(3, Some(2));
    fs::remove_dir_all(case.path("result").join(id(2).as_str())).unwrap();
    assert!(!case.found(2));
    let rows = [row(1, 1, None), row(2, 1, Some(1)), row(3, 0, Some(2))];
    assert_eq!(case.rows(), rows);
    case.make(2, Some(1));
    assert_eq!(case.rows(), rows);
}

#[test]
fn a_result_that_is_not_whole_is_made_again() {
    let case = Case::new();
    let half = case.path("result").join(id(1).as_str());
    fs::create_dir(&half).unwrap();
    fs::write(half.join("log"), "half").unwrap();
    assert!(!case.found(1));
    let made = case.make(1, None);
    assert_eq!(fs::read_to_string(made.log()).unwrap(), "log 1");
}

#[test]
fn build_users_cannot_reach_into_a_store() {
    let mut case = Case::new();
    let mode = |below: &str| fs::metadata(case.path(below)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o755);
    let inner = ["result", "result-tmp", "cache", "cache-tmp", "state"];
    assert_eq!(inner.map(mode), [0o700; 5]);
    fs::set_permissions(case.path("result"), fs::Permissions::from_mode(0o755)).unwrap();
    case.reopen();
    assert_eq!(fs::metadata(case.path("result")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_store_that_others_can_write_is_refused() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("store");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o775)).unwrap();
    let error = open(&url(temp.path())).err().unwrap().to_string();
    let dir = dir.display();
    assert_eq!(error, format!("the store {dir} can be written by others (mode 0775); run: chmod go-w {dir}"));
}

#[test]
fn a_store_filled_by_obuilder_is_used_on() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("store");
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
    let case = Case { store: open(&url(temp.path())).unwrap(), temp };
    assert!(case.found(1));
    case.make(2, Some(1));
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 0, Some(1))]);
}

#[test]
fn of_two_that_claim_one_id_one_builds_and_the_other_gets_what_it_made() {
    let case = Case::new();
    let draft = case.draft(1, None);
    assert!(case.store.try_claim(&id(1), None).unwrap().is_none());
    fs::write(draft.log(), "so far").unwrap();
    assert_eq!(fs::read_to_string(case.store.log_in_the_making(&id(1))).unwrap(), "so far");
    let (send, receive) = mpsc::channel();
    let second = open(&url(case.temp.path())).unwrap();
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

#[test]
fn who_waited_for_a_draft_that_was_dropped_makes_it() {
    let case = Case::new();
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

#[test]
fn many_threads_and_stores_make_each_result_once() {
    let case = Case::new();
    case.make(0, None);
    let made: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let dir = case.temp.path();
                scope.spawn(move || {
                    let store = open(&url(dir)).unwrap();
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

#[test]
fn lock_files_do_not_pile_up() {
    let mut case = Case::new();
    case.make(1, None);
    case.make(2, Some(1));
    let draft = case.draft(3, None);
    case.reopen();
    assert_eq!(case.names("state/locks"), [id(3).to_string()]);
    drop(draft);
}
