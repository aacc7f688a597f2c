//! What the file system and a build step cost, side by side with doing without them.
//!
//! `cargo run --release -p obuilder-benches [-- TABLE…] [ROUNDS]`, as root; the tables are requests, roundtrip,
//! filesystem, data, parallel, jobs, steps, stores, builds, clones, backends, containers and copying. Every
//! round measures each variant once, in turn, so that a busy machine is busy for all of them alike: trust the
//! ratios and the minima.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod backends;
mod builds;
mod clones;
mod containers;
mod copying;
mod data;
mod disks;
mod filesystem;
mod jobs;
mod parallel;
mod place;
mod requests;
mod roundtrip;
mod samples;
mod started;
mod steps;
mod stores;
mod usage;

use std::env;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let rounds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(15);
    let wants = |name: &str| args.iter().all(|arg| arg == name || arg.parse::<usize>().is_ok());
    if !nix::unistd::geteuid().is_root() {
        eprintln!("obuilder-benches: run it as root: it mounts a file system and builds as other users");
        return ExitCode::from(3);
    }
    build_binaries();
    if wants("requests") {
        requests::run();
        requests::walks();
    }
    if wants("roundtrip") {
        roundtrip::run(rounds);
    }
    if wants("data") {
        data::run(rounds);
    }
    if wants("parallel") {
        parallel::run(rounds);
    }
    if wants("jobs") {
        jobs::run(rounds.min(7));
    }
    if wants("filesystem") {
        filesystem::run(rounds);
    }
    if wants("steps") {
        steps::run(rounds);
    }
    if wants("builds") {
        builds::run(rounds.min(5));
    }
    if wants("backends") {
        backends::run(rounds.min(10));
    }
    if wants("clones") {
        clones::run(rounds.min(7));
    }
    if wants("stores") {
        stores::run(rounds);
    }
    if wants("containers") {
        containers::run(rounds);
    }
    if wants("copying") {
        copying::run(rounds.min(7));
    }
    ExitCode::SUCCESS
}

/// The two binaries, in the profile this one was built in: `cargo run` builds only its own package.
fn build_binaries() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "-p", "obuilder", "-p", "obuilderfs", "--bins"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.status().expect("run cargo");
    assert!(status.success(), "the binaries do not build");
}
