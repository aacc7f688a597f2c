//! What differs, and mending it.
use super::*;
use crate::store::doctor::{Finding, examine, repair};

impl Case {
    fn findings(&self) -> Vec<Finding> {
        examine(&self.url()).unwrap()
    }

    fn repaired(&self) {
        repair(&self.url()).unwrap();
        assert_eq!(self.findings(), []);
    }
}

/// A chain 1 ← 2 ← 3.
fn chain(kind: Kind) -> Case {
    let case = Case::new(kind);
    for (number, base) in [(1, None), (2, Some(1)), (3, Some(2))] {
        case.make(number, base);
    }
    // Or it were known from the notes what they were made from.
    case.store.sync().unwrap();
    assert_eq!(case.findings(), []);
    case
}

fn a_lost_result_is_told_and_its_row_goes_though_others_were_made_from_it(kind: Kind) {
    let case = chain(kind);
    case.lose(2);
    assert_eq!(case.findings(), [Finding::RowWithoutResult { id: id(2).to_string() }]);
    case.repaired();
    assert_eq!(case.rows(), [row(1, 0, None), row(3, 0, None)]);
}

fn a_result_without_a_row_is_told_and_gets_one(kind: Kind) {
    let case = chain(kind);
    case.database().execute("DELETE FROM builds WHERE id = ?1", [id(3).as_str()]).unwrap();
    let wrong = Finding::WrongCount { id: id(2).to_string(), written: 1, counted: 0 };
    assert_eq!(case.findings(), [wrong, Finding::ResultWithoutRow { id: id(3) }]);
    case.repaired();
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 0, Some(1)), row(3, 0, None)]);
}

fn counts_that_drifted_and_parents_nobody_knows_are_put_right(kind: Kind) {
    let case = chain(kind);
    let drift = "PRAGMA foreign_keys = off; UPDATE builds SET rc = rc + 3 WHERE rc = 0; \
                 UPDATE builds SET rc = 0, parent = 'nobody' WHERE rc = 1 AND parent IS NULL;
                 INSERT INTO builds VALUES ('no id', datetime(), datetime(), 0, NULL);";
    case.database().execute_batch(drift).unwrap();
    assert_eq!(
        case.findings(),
        [
            Finding::UnknownParent { id: id(1).to_string(), parent: "nobody".into() },
            Finding::WrongCount { id: id(1).to_string(), written: 0, counted: 1 },
            Finding::WrongCount { id: id(3).to_string(), written: 3, counted: 0 },
            Finding::RowWithoutResult { id: "no id".into() },
        ]
    );
    case.repaired();
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 1, Some(1)), row(3, 0, Some(2))]);
}

fn what_killed_builds_left_is_told_and_goes_but_what_is_being_made_stays(kind: Kind) {
    let case = chain(kind);
    let draft = case.draft(4, None);
    let left = format!("result-tmp/{}", id(5));
    case.site.leave(&left);
    let in_use = case.store.cache("c".as_ref(), (0, 0)).unwrap();
    case.site.leave_half(6);
    case.site.leave("cache-tmp/7-c");
    let left_over = |below: &str| Finding::LeftOver { path: case.path(below) };
    let found = [left_over(&left), left_over("cache-tmp/7-c"), Finding::HalfResult { id: id(6) }];
    assert_eq!(case.findings(), found);
    case.repaired();
    assert_eq!(case.names("result-tmp"), [id(4).to_string()]);
    assert_eq!(case.names("result").len(), 3);
    assert_eq!(case.names("cache-tmp").len(), 1);
    assert!(in_use.dir().exists());
    in_use.release().unwrap();
    draft.keep().unwrap();
}

fn what_is_not_ours_is_told_and_never_touched(kind: Kind) {
    let case = chain(kind);
    let stranger = "result/lost-and-found";
    case.site.leave(stranger);
    repair(&case.url()).unwrap();
    assert_eq!(case.findings(), [Finding::Stranger { path: case.path(stranger) }]);
}

fn a_damaged_database_is_set_aside_and_made_again_from_the_results(kind: Kind) {
    let case = chain(kind);
    let site = case.site;
    drop(case.store);
    let dir = site.path("state/db");
    for name in ["db.sqlite-wal", "db.sqlite-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    fs::write(dir.join("db.sqlite"), [b'x'; 5000]).unwrap();
    let found = examine(&site.url()).unwrap();
    assert!(matches!(&found[..], [Finding::DamagedDatabase { .. }]), "{found:?}");
    repair(&site.url()).unwrap();
    let case = Case { store: site.open(), site };
    assert_eq!(case.findings(), []);
    assert_eq!(case.rows(), [row(1, 0, None), row(2, 0, None), row(3, 0, None)]);
    assert!(case.names("state/db").iter().any(|name| name.starts_with("db.sqlite.damaged-")));
}

fn a_directory_that_is_no_store_is_not_made_one(kind: Kind) {
    let site = Site::new(kind);
    let error = examine(&site.url()).unwrap_err().to_string();
    let url = site.url();
    let dir = url.dir();
    assert!(error.starts_with(&format!("there is no store in {}; ", dir.display())), "{error}");
    assert!(open_existing(&site.url()).is_err() && site.is_untouched());
}

on_each_backend! {
    a_lost_result_is_told_and_its_row_goes_though_others_were_made_from_it
    a_result_without_a_row_is_told_and_gets_one
    counts_that_drifted_and_parents_nobody_knows_are_put_right
    what_killed_builds_left_is_told_and_goes_but_what_is_being_made_stays
    what_is_not_ours_is_told_and_never_touched
    a_damaged_database_is_set_aside_and_made_again_from_the_results
    a_directory_that_is_no_store_is_not_made_one
}
