//! Single operations: natively, through the shared mount, and in a private view.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use obuilder_tests::World;

use crate::place;

use crate::samples::{Samples, print_heading, print_row};

/// An operation on a tree, and how often a round does it.
struct Case {
    name: &'static str,
    times: usize,
    /// Does it once; the number tells one time from the other. Returns how many things it touched.
    operation: fn(&Path, usize) -> usize,
}

const CASES: [Case; 7] = [
    Case {
        name: "stat, depth 4",
        times: 4000,
        operation: |dir, _| fs::metadata(dir.join("a/b/c/file")).map_or(0, |_| 1),
    },
    Case {
        name: "failed look-up, depth 4",
        times: 4000,
        operation: |dir, _| fs::metadata(dir.join("a/b/c/none")).map_or(1, |_| 0),
    },
    Case {
        name: "open and close, depth 4",
        times: 2000,
        operation: |dir, _| fs::File::open(dir.join("a/b/c/file")).map_or(0, |_| 1),
    },
    Case {
        name: "read 4 KiB, open to close",
        times: 2000,
        operation: |dir, _| fs::read(dir.join("a/b/c/file")).map_or(0, |_| 1),
    },
    Case { name: "create and unlink", times: 500, operation: create_and_unlink },
    Case { name: "warm walk, per entry", times: 2, operation: |dir, _| walk(&dir.join("tree")) },
    Case { name: "write 1 MiB, per file", times: 10, operation: write_a_mebibyte },
];

fn create_and_unlink(dir: &Path, n: usize) -> usize {
    let file = dir.join("a/b/c").join(n.to_string());
    fs::File::create(&file).and_then(|_| fs::remove_file(&file)).map_or(0, |()| 1)
}

fn write_a_mebibyte(dir: &Path, n: usize) -> usize {
    fs::write(dir.join(format!("big-{}", n % 4)), vec![7; 1 << 20]).map_or(0, |()| 1)
}

/// Lists a tree and looks at each entry, as `find -ls` does.
fn walk(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).expect("list").map(|entry| entry.expect("entry").path());
    entries
        .map(|path| 1 + if fs::symlink_metadata(&path).expect("stat").is_dir() { walk(&path) } else { 0 })
        .sum()
}

fn fill(dir: &Path) {
    fs::create_dir_all(dir.join("a/b/c")).expect("directories");
    fs::write(dir.join("a/b/c/file"), vec![1; 4096]).expect("file");
    for i in 0..20 {
        let below = dir.join(format!("tree/{i}"));
        fs::create_dir_all(&below).expect("directories");
        for j in 0..100 {
            fs::write(below.join(j.to_string()), "x").expect("file");
        }
    }
}

/// Nanoseconds for each thing that `case` touches in `dir`.
fn time(case: &Case, dir: &Path) -> f64 {
    let start = Instant::now();
    let touched: usize = (0..case.times).map(|n| (case.operation)(dir, n)).sum();
    assert!(touched >= case.times, "{}: failed in {}", case.name, dir.display());
    start.elapsed().as_secs_f64() * 1e9 / touched as f64
}

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    let world = World::new();
    let (user, local) = world.resident(41_200);
    let native = world.scratch.dir("native");
    user.mkdir(&native);
    for dir in [&native, &local] {
        user.run(|| fill(dir));
    }
    let mounted = world.mount();
    let private = world.scratch.dir("private");
    let view = mounted.point().join(format!(".obuilderfs/{}-bench/local", user.uid));
    place::in_namespace(&view, &private, || {
        user.run(|| measure(rounds, &[native, mounted.point().to_owned(), private.clone()]));
    });
}

fn measure(rounds: usize, places: &[PathBuf; 3]) {
    print_heading("ns per operation", &["native", "shared mount", "private view"]);
    for case in &CASES {
        let mut samples = vec![Samples::default(); places.len()];
        for round in 0..=rounds {
            for (place, samples) in places.iter().zip(&mut samples) {
                let taken = time(case, place);
                // The first round only warms the caches.
                if round > 0 {
                    samples.push(taken);
                }
            }
        }
        print_row(case.name, &samples);
    }
}
