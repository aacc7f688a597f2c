//! The way from nothing to `(from macos-homebrew)`: the scripts, a mount, and a Homebrew made for the tests, which
//! does to a file system what the real one does (`tests/homebrew/shaped`) and needs no network.
//!
//! All of it needs root and `/dev/fuse`.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod base_image;
mod brewery;
mod depends_on;
mod images;
mod interrupted;
mod two_users;

use obuilder_tests::{Need, require};

/// Whether Homebrew can be installed here; the test that asks returns when not.
fn can_brew() -> bool {
    let tools = ["useradd", "git", "curl", "flock", "cc", "ps"].map(Need::Tool);
    require(&[&[Need::Root, Need::Fuse], &tools[..]].concat())
}
