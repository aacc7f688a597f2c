//! Random sequences of operations, on a plain directory and through obuilderfs: each result and every tree they
//! leave must be the same. `OBUILDER_TESTS_SEED` and `OBUILDER_TESTS_ROUNDS` ask for others and for more.
//!
//! All of it needs root and `/dev/fuse`.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod behind;
mod operation;
mod same;

use std::env;

use obuilder_tests::{Need, require};

/// Whether file systems can be mounted here; the test that asks returns when not.
fn can_mount() -> bool {
    require(&[Need::Root, Need::Fuse])
}

/// How many sequences to play.
fn rounds(usual: u64) -> u64 {
    env::var("OBUILDER_TESTS_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}
