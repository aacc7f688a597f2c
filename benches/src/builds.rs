//! Builds side by side on one store: those that wait take the time of one, those that work have all cores.
use std::process::Child;
use std::time::Instant;

use obuilder_tests::Build;
use obuilder_tests::build::spec_of;

use crate::samples::{Samples, print_heading, print_row};

/// How many builds run at once.
const BUILDS: usize = 4;

const KINDS: [(&str, &str); 2] =
    [("waiting", "sleep 2"), ("working", "n=0; while [ $n -lt 400000 ]; do n=$((n + 1)); done")];

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    let mut builds: Vec<Build> = (0..BUILDS).map(|_| Build::new().on("auto")).collect();
    let store = builds[0].store.clone();
    for build in &mut builds {
        build.store.clone_from(&store);
    }
    builds[0].steps(&["true"]);
    print_heading("ms", &["1 build", "4 builds at once"]);
    for (name, command) in KINDS {
        let mut row = <[Samples; 2]>::default();
        for round in 0..rounds {
            for (n, count) in [1, BUILDS].into_iter().enumerate() {
                let begun = Instant::now();
                let started: Vec<Child> = builds[..count]
                    .iter()
                    .enumerate()
                    .map(|(build, which)| {
                        start(which, &format!("{command} # {name} {round} {count} {build}"))
                    })
                    .collect();
                for mut child in started {
                    assert!(child.wait().expect("build").success(), "a build failed");
                }
                row[n].push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        print_row(name, &row);
    }
}

fn start(build: &Build, command: &str) -> Child {
    let spec = build.spec(&spec_of(&[command]));
    build.command(&spec).stdout(std::process::Stdio::null()).spawn().expect("obuilder")
}
