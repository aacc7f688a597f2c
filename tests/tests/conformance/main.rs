//! obuilderfs against the native file system, in the manner of pjdfstest: every operation on everything it may
//! find, by every kind of user, natively, through the shared mount, and through a private view. Results, errors,
//! the tree left behind, the times that moved, and what the mount shows of it all must be the same.
//!
//! All of it needs root and `/dev/fuse`.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod one_name;
mod operations;
mod stage;
mod states;
mod two_names;
mod users;

use obuilder_tests::{Need, require};

/// Whether file systems can be mounted here; the test that asks returns when not.
fn can_mount() -> bool {
    require(&[Need::Root, Need::Fuse])
}

/// Fails with every line of `wrong`, if there is one.
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether every case is to be played, for which there is no time each day.
fn everything() -> bool {
    std::env::var_os("OBUILDER_TESTS_ALL").is_some()
}

/// All of `choices` when everything is to be played, else the one whose turn it is.
fn chosen<T>(choices: &[T], turn: usize) -> &[T] {
    let turn = turn % choices.len();
    if everything() { choices } else { &choices[turn..=turn] }
}
