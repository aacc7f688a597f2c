//! What a `copy` of many files costs beside `cp -a` of the same.
use std::fs;
use std::path::Path;
use std::process::Command;

use obuilder_tests::Containers;

use crate::samples::{Samples, print_heading, print_row};
use crate::usage::measure;

/// Files copied, as the target has it.
const FILES: usize = 30_000;
/// What a copy may cost, as a multiple of `cp -a`.
const TARGET: f64 = 1.5;

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    let builds = Containers::new();
    fill(&builds.source);
    measure(&mut builds.command(&builds.spec(&builds.text(""))));
    let [mut wall, mut cpu] = [(); 2].map(|()| <[Samples; 2]>::default());
    let native = builds.scratch.path().join("native");
    // What the first round reads comes from the device.
    for round in 0..=rounds {
        let mut cp = Command::new("cp");
        let cp = measure(cp.arg("-a").arg(&builds.source).arg(&native));
        let step = format!("(copy (src .) (dst /round-{round}))");
        let step = measure(&mut builds.command(&builds.spec(&builds.text(&step))));
        fs::remove_dir_all(&native).expect("remove the copy");
        forget(&builds);
        for (n, usage) in [cp, step].into_iter().enumerate().filter(|_| round > 0) {
            wall[n].push(usage.wall.as_secs_f64() * 1e6);
            cpu[n].push(usage.cpu.as_secs_f64() * 1e6);
        }
    }
    print_heading("microseconds", &["cp -a", "copy"]);
    print_row("wall", &wall);
    print_row("CPU", &cpu);
    for (what, of) in [("wall", wall), ("CPU", cpu)] {
        let ratio = of[1].median() / of[0].median();
        let verdict = if ratio <= TARGET { "held" } else { "MISSED" };
        println!("copy of {FILES} files, {what}: {ratio:.2}x, target {TARGET}: {verdict}");
    }
}

/// A source tree as programs have it: most files small, some not.
fn fill(source: &Path) {
    for number in 0..FILES {
        let dir = source.join(format!("{}/{}", number / 3000, number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&dir).expect("directory");
        }
        let lines = if number % 50 == 0 { 8000 } else { 20 + number % 300 };
        fs::write(dir.join(format!("file-{number}")), format!("{number}\n").repeat(lines)).expect("file");
    }
}

/// Deletes the results, but for the base.
fn forget(builds: &Containers) {
    let base = builds.store_command(&["ls", "--json"]).output().expect("ls").stdout;
    for line in String::from_utf8_lossy(&base).lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if !row["parent"].is_null() {
            measure(&mut builds.store_command(&["delete", row["id"].as_str().expect("id")]));
        }
    }
}
