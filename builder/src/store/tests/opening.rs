//! Whose a store is, and what is there already.
use std::os::unix::fs::PermissionsExt;

use super::*;

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
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o775)).unwrap();
    let error = open(&site.url()).err().unwrap().to_string();
    let url = site.url();
    let dir = url.dir().display();
    assert_eq!(error, format!("the store {dir} can be written by others (mode 0775); run: chmod go-w {dir}"));
}

fn a_store_filled_by_obuilder_is_used_on(kind: Kind) {
    let site = Site::new(kind);
    site.fill_as_obuilder(1, 2);
    let database = Connection::open(site.path("state/db/db.sqlite")).unwrap();
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

fn lock_files_do_not_pile_up(kind: Kind) {
    let mut case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    let draft = case.draft(3, None);
    case.reopen();
    assert_eq!(case.names("state/locks"), [id(3).to_string()]);
    drop(draft);
}

on_each_backend! {
    build_users_cannot_reach_into_a_store
    a_store_that_others_can_write_is_refused
    a_store_filled_by_obuilder_is_used_on
    lock_files_do_not_pile_up
}
