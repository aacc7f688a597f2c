//! What a build costs that finds everything in its store, and what the size of the store adds to a step.
use std::fs;
use std::path::Path;
use std::process::Command;

use obuilder_tests::Build;

use crate::samples::{Samples, print_heading, print_row};
use crate::usage::{Usage, measure};

/// Steps of a build that is measured.
const STEPS: usize = 10;

/// A build of `count` steps that do nothing; `tag` tells them from those of other specs.
fn command(build: &Build, count: usize, tag: &str) -> Command {
    let steps: String = (0..count).map(|n| format!(" (run (shell \"true # {tag} {n}\"))\n")).collect();
    let spec = build.scratch.path().join(format!("spec-{tag}"));
    fs::write(&spec, format!("((from empty)\n{steps})\n")).expect("spec");
    build.command(&spec)
}

/// A build whose store holds `results` results that have nothing to do with it.
fn with_results(results: usize) -> Build {
    let build = Build::new();
    measure(&mut command(&build, 1, "first"));
    for number in 0..results {
        add(&build.store.join(format!("result/{number:064x}")));
    }
    // Registers them.
    measure(&mut build.store_command(&["ls"]));
    build
}

fn add(result: &Path) {
    fs::create_dir_all(result.join("rootfs")).expect("result");
    fs::write(result.join("log"), "").expect("log");
    fs::write(result.join("env"), "((env ()))").expect("env");
}

/// Measures and prints the tables.
pub(crate) fn run(rounds: usize) {
    let (small, large) = (with_results(10), with_results(10_000));
    let [mut ten, mut hundred] = [10, 100].map(|count| command(&small, count, &format!("cached-{count}")));
    for command in [&mut ten, &mut hundred] {
        measure(command);
    }
    let [mut wall, mut cpu] = [(); 2].map(|()| <[Samples; 2]>::default());
    let [mut cached_wall, mut cached_cpu] = [(); 2].map(|()| <[Samples; 3]>::default());
    for round in 0..rounds {
        for (n, build) in [&small, &large].into_iter().enumerate() {
            let usage = measure(&mut command(build, STEPS, &format!("round-{round}")));
            push(&mut wall[n], &mut cpu[n], usage, STEPS);
        }
        for (n, command) in [&mut Command::new("true"), &mut ten, &mut hundred].into_iter().enumerate() {
            push(&mut cached_wall[n], &mut cached_cpu[n], measure(command), 1);
        }
    }
    print_heading("microseconds per step", &["10 results in store", "10 000"]);
    print_row("wall", &wall);
    print_row("CPU, children included", &cpu);
    print_heading("microseconds per build", &["true", "10 cached steps", "100 cached steps"]);
    print_row("wall", &cached_wall);
    print_row("CPU", &cached_cpu);
}

#[allow(clippy::cast_precision_loss)]
fn push(wall: &mut Samples, cpu: &mut Samples, usage: Usage, steps: usize) {
    wall.push(usage.wall.as_secs_f64() * 1e6 / steps as f64);
    cpu.push(usage.cpu.as_secs_f64() * 1e6 / steps as f64);
}
