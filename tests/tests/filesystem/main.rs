//! obuilderfs as its users meet it: real mounts, real uids, every operation compared with the native one.
//!
//! All of it needs root and `/dev/fuse`.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod attacker;
mod attributes;
mod bad_homes;
mod birth_times;
mod bounds;
mod command_line;
mod commands;
mod directories;
mod endings;
mod files;
mod into_the_root;
mod lifecycle;
mod limits;
mod links;
mod listings;
mod locks;
mod mapped_and_executed;
mod mount_helper;
mod nameless_files;
mod permissions;
mod private_views;
mod privileges;
mod retirement;
mod scoreboard;
mod service;
mod several_views;
mod silent;
mod stress;
mod unasked;
mod views;
mod ways_in;

use obuilder_tests::{Need, require};

/// Whether file systems can be mounted here; the test that asks returns when not.
fn can_mount() -> bool {
    require(&[Need::Root, Need::Fuse])
}
