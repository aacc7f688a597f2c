//! `obuilder macos` as its users meet it: real accounts, a real mount, a real store.
//!
//! All of it needs root and `/dev/fuse`. Each test has a build user of its own, so that they run side by side.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod bad_input;
mod bad_input_table;
mod bad_sources;
mod bad_specs;
mod bad_stores;
mod cleaning_up;
mod copying;
mod environment;
mod example;
mod file_system;
mod killed_at_random;
mod several_at_once;
mod sharing_a_store;
mod store_commands;
mod store_kinds;
mod tour;
mod zfs;

use obuilder_tests::build::Ended;
use obuilder_tests::{Need, require};

/// Whether builds can run here; the test that asks returns when not.
fn can_build() -> bool {
    require(&[Need::Root, Need::Fuse, Need::Tool("useradd")])
}

/// Checks that a build was refused with exit code `code` and that `said`, and no more, is on standard error.
#[track_caller]
fn refused(ended: &Ended, code: i32, said: &str) {
    assert_eq!((ended.code, &*ended.stderr), (Some(code), &*format!("{said}\n")), "{}", ended.stdout);
}
