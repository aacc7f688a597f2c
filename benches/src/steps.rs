//! Whole builds: a step that does nothing, and ten steps that were done before.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use obuilder_tests::{BuildUser, Scratch, binary};

use crate::samples::{Samples, print_heading, print_row};
use crate::started::{self, Started};
use crate::usage::{Usage, measure};

/// A source tree, a store, and specs made up as they are needed.
struct Builds {
    scratch: Scratch,
    user: BuildUser,
}

impl Builds {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.dir("src");
        Self { scratch, user: BuildUser::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// `obuilder macos` on a spec of `count` steps that do nothing; `tag` tells them from those of other specs.
    fn command(&self, count: usize, tag: &str) -> Command {
        let spec = self.path(&format!("spec-{tag}"));
        let steps: String = (0..count).map(|n| format!(" (run (shell \"true # {tag} {n}\"))\n")).collect();
        fs::write(&spec, format!("((from empty)\n{steps})\n")).expect("spec");
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut command = Command::new(binary::obuilder());
        command
            .arg("macos")
            .arg(self.path("src"))
            .arg("-f")
            .arg(spec)
            .arg(format!("--store=rsync:{}", self.path("store").display()))
            .arg(format!("--uid={}", self.user.uid))
            .arg(option("scoreboard", &self.path("scoreboard")));
        command
    }
}

/// Wall and processor time of one variant, in microseconds.
#[derive(Default, Clone)]
struct Cost {
    wall: Samples,
    cpu: Samples,
}

impl Cost {
    fn push(&mut self, usage: Usage, steps: f64) {
        self.wall.push(usage.wall.as_secs_f64() * 1e6 / steps);
        self.cpu.push(usage.cpu.as_secs_f64() * 1e6 / steps);
    }
}

/// Measures and prints the tables.
pub(crate) fn run(rounds: usize) {
    let builds = Builds::new();
    measure(&mut builds.command(10, "warm"));
    let (mut native, mut one, mut ten, mut cached) = <(Cost, Cost, Cost, Cost)>::default();
    for round in 0..rounds {
        // The login shell alone, with as little to read as a build user's.
        let mut shell = Command::new("bash");
        native.push(measure(shell.args(["-lc", "true"]).env_clear().env("HOME", builds.path("src"))), 1.0);
        one.push(measure(&mut builds.command(1, &format!("one-{round}"))), 1.0);
        ten.push(measure(&mut builds.command(10, &format!("ten-{round}"))), 10.0);
        cached.push(measure(&mut builds.command(10, "warm")), 1.0);
    }
    let variants = ["bash -lc true", "build of 1 step", "10 steps, per step", "10 cached, in all"];
    print_heading("microseconds", &variants);
    let costs = [native, one, ten, cached];
    print_row("wall", &costs.clone().map(|cost| cost.wall));
    print_row("CPU, children included", &costs.clone().map(|cost| cost.cpu));
    println!();
    let [_, one, _, cached] = costs;
    held("a build of one uncached `run true`, CPU in all", &one.cpu, 60.0);
    held("a cached build of ten steps, wall", &cached.wall, 10.0);
    processes(&builds);
}

/// Says whether the median of `measured`, in microseconds, is below `target` milliseconds.
fn held(what: &str, measured: &Samples, target: f64) {
    let median = measured.median() / 1e3;
    let verdict = if median < target { "held" } else { "MISSED" };
    println!("{what}: {median:.1} ms, target {target:.0} ms: {verdict}");
}

/// Counts what is started.
fn processes(builds: &Builds) {
    println!("\n{:<28} {:>10} {:>10} {:>10}", "started", "processes", "threads", "programs");
    let cached = builds.command(10, "warm");
    for (name, command) in [
        ("1 step", builds.command(1, "traced-1")),
        ("11 steps", builds.command(11, "traced-11")),
        ("10 cached steps", cached),
    ] {
        match started::count(&command, &builds.path("trace")) {
            Some(Started { processes, threads, programs }) => {
                println!("{name:<28} {processes:>10} {threads:>10} {programs:>10}");
            }
            None => println!("{name:<28} not counted: strace is missing or failed"),
        }
    }
}
