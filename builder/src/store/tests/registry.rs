//! What is written down of results.
use super::*;

fn rows_count_children_and_times_are_in_utc_to_the_second(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    case.make(3, Some(1));
    case.make(4, Some(3));
    assert_eq!(case.rows(), [row(1, 2, None), row(2, 0, Some(1)), row(3, 1, Some(1)), row(4, 0, Some(3))]);
    let database = case.database();
    let in_form = "SELECT count(*) FROM builds WHERE created = datetime(created) AND used = datetime(used)
        AND abs(julianday('now') - julianday(used)) < 0.01";
    assert_eq!(database.query_row(in_form, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
    let mode: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

fn finding_a_result_marks_it_as_used(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    let database = case.database();
    database.execute("UPDATE builds SET used = '2001-02-03 04:05:06', created = used", []).unwrap();
    assert!(case.found(1));
    case.store.sync().unwrap();
    let select = "SELECT used > '2020', created < '2020' OR created > '2020' FROM builds";
    assert_eq!(database.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap(), (true, true));
}

fn a_result_without_a_row_gets_one_when_it_is_found(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    let database = case.database();
    database.execute("DELETE FROM builds", []).unwrap();
    assert!(case.found(1));
    case.store.sync().unwrap();
    assert_eq!(case.rows(), [row(1, 0, None)]);
}

fn a_base_without_a_row_gets_one_with_its_first_child(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    case.database().execute("DELETE FROM builds", []).unwrap();
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

on_each_backend! {
    rows_count_children_and_times_are_in_utc_to_the_second
    finding_a_result_marks_it_as_used
    a_result_without_a_row_gets_one_when_it_is_found
    a_base_without_a_row_gets_one_with_its_first_child
    a_row_without_a_result_goes_when_it_is_missed
    a_lost_result_with_children_keeps_its_count_and_can_be_made_again
}
