//! Operations on one name, in directories of every kind.
use std::path::Path;

use crate::operations::{Operation, SINGLE};
use crate::stage::Stage;
use crate::states::{self, Parent, State};
use crate::{can_mount, chosen, everything, none, users};

#[derive(Debug)]
struct Case {
    parent: Parent,
    state: State,
    operation: Operation,
}

/// Each operation on each state, by some of the users and in one of the directories: which ones differs from case
/// to case, so that every two of them meet. With `OBUILDER_TESTS_ALL` set, by each and in each.
fn play(options: &[&str], parents: &[Parent]) {
    if !can_mount() {
        return;
    }
    let stage = Stage::new(options);
    let mut wrong = Vec::new();
    for (turn, user) in users::all().iter().enumerate() {
        let mut cases = Vec::new();
        for (row, state) in states::ALL.into_iter().enumerate() {
            for (column, &operation) in SINGLE.iter().enumerate() {
                let number = turn * 3 + row + column;
                for &parent in chosen(parents, number).iter().filter(|_| everything() || number % 2 == 0) {
                    cases.push(Case { parent, state, operation });
                }
            }
        }
        let name = |case: &Case| format!("{} on {:?} in {:?}", case.operation.0, case.state, case.parent);
        let prepare = |case: &Case, dir: &Path| {
            case.parent.make(dir);
            case.state.make(&dir.join("x"));
        };
        wrong.extend(stage.differences(user, &cases, name, prepare, |case, dir| case.operation.1(dir)));
    }
    none(&wrong);
}

#[test]
fn every_operation_on_every_kind_of_object() {
    play(&[], &Parent::ALL);
}

#[test]
fn every_operation_on_every_kind_of_object_with_bytes_through_the_daemon() {
    play(&["-o", "nopassthrough"], &[Parent::OPEN, Parent::SET_GID]);
}
