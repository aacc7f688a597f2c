//! What goes and what stays.
use std::time::Duration;

use super::*;
use crate::store::removal::{self, Removed, Rules};

/// A chain 1 ← 2 ← 3, and 4 ← 5 with 4 made from 1; used so many hours ago as each number says.
fn case(kind: Kind) -> Case {
    let case = Case::new(kind);
    for (number, base) in [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(1)), (5, Some(4))] {
        case.make(number, base);
    }
    let database = case.database();
    let age = "UPDATE builds SET used = datetime('now', '-' || ltrim(id, '0') || ' hours')";
    database.execute(age, []).unwrap();
    case
}

fn numbers(case: &Case) -> Vec<u8> {
    let names = case.names("result");
    names.iter().map(|name| u8::from_str_radix(name.trim_start_matches('0'), 16).unwrap()).collect()
}

/// Prunes by `rules`; the numbers of what went, in order.
fn pruned(case: &Case, rules: &Rules) -> Vec<u8> {
    let mut gone = Vec::new();
    let told = |id: &StepId| {
        gone.push(u8::from_str_radix(id.as_str().trim_start_matches('0'), 16).unwrap());
    };
    let removed = removal::prune(&*case.store, rules, told).unwrap();
    assert_eq!(removed.removed, gone.len());
    gone
}

fn hours(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n * 3600))
}

fn a_result_is_deleted_after_all_that_was_made_from_it(kind: Kind) {
    let case = case(kind);
    let mut told = Vec::new();
    let mut delete = |number| removal::delete(&*case.store, &id(number), |id| told.push(id.clone()));
    assert_eq!(delete(4).unwrap(), 2);
    assert_eq!(delete(9).unwrap(), 0);
    assert_eq!(delete(1).unwrap(), 3);
    assert_eq!(told, [id(5), id(4), id(3), id(2), id(1)]);
    assert!(case.names("result").is_empty() && case.rows().is_empty());
}

fn the_least_recently_used_goes_first_and_never_before_what_was_made_from_it(kind: Kind) {
    for (rules, gone) in [
        (Rules { keep: Some(3), ..Rules::default() }, vec![5, 4]),
        (Rules { keep: Some(0), ..Rules::default() }, vec![5, 4, 3, 2, 1]),
        (Rules { keep: Some(5), ..Rules::default() }, vec![]),
        (Rules { older_than: hours(4), ..Rules::default() }, vec![5, 4]),
        (Rules { older_than: hours(6), ..Rules::default() }, vec![]),
        (Rules { older_than: hours(2), keep: Some(4), ..Rules::default() }, vec![5]),
        (Rules { older_than: hours(5), keep: Some(1), ..Rules::default() }, vec![5]),
        (Rules { free: Some(0), ..Rules::default() }, vec![]),
        (Rules { free: Some(101), ..Rules::default() }, vec![5, 4, 3, 2, 1]),
    ] {
        assert_eq!(pruned(&case(kind), &rules), gone, "{rules:?}");
    }
}

fn a_base_that_was_long_not_used_stays_while_what_was_made_from_it_stays(kind: Kind) {
    let case = case(kind);
    let database = case.database();
    database.execute("UPDATE builds SET used = '2001-01-01 00:00:00' WHERE parent IS NULL", []).unwrap();
    assert_eq!(pruned(&case, &Rules { older_than: hours(24), ..Rules::default() }), [0_u8; 0]);
    assert_eq!(numbers(&case), [1, 2, 3, 4, 5]);
}

fn everything_goes_that_was_used_in_this_very_second_but_what_is_in_use(kind: Kind) {
    let case = Case::new(kind);
    for (number, base) in [(1, None), (2, Some(1)), (3, Some(1))] {
        case.make(number, base);
    }
    let used = case.store.find(&id(2)).unwrap();
    let clean = || removal::clean(&*case.store, |_| ()).unwrap();
    assert_eq!(clean(), Removed { removed: 1, in_use: 1 });
    assert_eq!(numbers(&case), [1, 2]);
    drop(used);
    assert_eq!(clean(), Removed { removed: 2, in_use: 0 });
    assert!(case.names("result").is_empty() && case.rows().is_empty());
}

fn what_is_listed_is_what_is_there(kind: Kind) {
    let case = case(kind);
    let database = case.database();
    case.lose(5);
    database.execute("DELETE FROM builds WHERE id = ?1", [id(3).as_str()]).unwrap();
    let listed = case.store.list().unwrap();
    let ids: Vec<_> = listed.iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids, [id(1), id(2), id(3), id(4)]);
    assert_eq!((listed[0].children, listed[0].parent.clone()), (2, None));
    assert_eq!(listed[1].parent, Some(id(1)));
    let age = listed[2].used.0 - listed[1].used.0;
    assert!((7000..7400).contains(&age), "made just now: {age}");
}

on_each_backend! {
    a_result_is_deleted_after_all_that_was_made_from_it
    the_least_recently_used_goes_first_and_never_before_what_was_made_from_it
    a_base_that_was_long_not_used_stays_while_what_was_made_from_it_stays
    everything_goes_that_was_used_in_this_very_second_but_what_is_in_use
    what_is_listed_is_what_is_there
}
