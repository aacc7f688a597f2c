//! `obuilder build` as its users meet it: real containers of runc, a real store.
//!
//! All of it needs root, runc, and busybox for a base image.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod bad_steps;
mod caches;
mod cleaning_up;
mod docker;
mod filled_by_obuilder;
mod images;
mod killed_at_random;
mod printing;
mod runtimes;
mod secrets;
mod sharing_a_store;
mod surroundings;

use obuilder_tests::{Need, require};

/// Whether containers can run here; the test that asks returns when not.
fn can_build() -> bool {
    require(&[Need::Root, Need::Tool("runc"), Need::Tool("busybox")])
}

const NOTHING: &[String] = &[];
