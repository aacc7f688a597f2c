//! What each kind of store adds to a step: an empty one, one that changes a file of a large tree, and a deletion.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use obuilder::step::StepId;
use obuilder::store::{Claim, Sharing, Store, StoreUrl, open_sharing};

use crate::disks::{Disk, fill};
use crate::samples::{Samples, print_heading, print_row};

/// Files of the large tree.
const FILES: usize = 100_000;

/// How many results there are in the stores that are compared.
const RESULTS: [usize; 3] = [10, 1_000, 10_000];

/// The results that others are made from.
const SMALL: usize = 1 << 40;
const LARGE: usize = SMALL + 1;

/// Kind of store, its file system, and how it shares files.
const KINDS: [(&str, &str, Option<Sharing>); 6] = [
    ("btrfs", "btrfs", None),
    ("xfs", "xfs", None),
    ("overlayfs", "ext4", None),
    ("overlayfs", "tmpfs", None),
    ("rsync", "ext4", None),
    ("rsync", "ext4", Some(Sharing::Hardlink)),
];

/// Measures and prints the tables.
///
/// `OBUILDER_BENCH_KIND`, as `overlayfs on tmpfs`, leaves out all others.
pub(crate) fn run(rounds: usize) {
    let only = std::env::var("OBUILDER_BENCH_KIND").ok();
    for (kind, file_system, sharing) in KINDS {
        if only.as_ref().is_some_and(|only| *only != format!("{kind} on {file_system}")) {
            continue;
        }
        let Some(disk) = Disk::new(file_system, 6) else { continue };
        let at = |dir: &str| -> Arc<dyn Store> {
            let url: StoreUrl = format!("{kind}:{}/{dir}", disk.dir().display()).parse().expect("address");
            open_sharing(&url, sharing).expect("store")
        };
        let mode = if sharing.is_some() { ", hard links" } else { "" };
        let columns = RESULTS.map(|results| format!("{results} results"));
        print_heading(&format!("{kind} on {file_system}{mode}, us"), &columns.each_ref().map(String::as_str));
        let stores = RESULTS.map(|results| with_results(at(&results.to_string()), results));
        measure(&stores, rounds);
        measure_large(&at("large"), rounds.min(5));
        if kind == "overlayfs" {
            measure_depth(&at("deep"), rounds.min(5));
        }
    }
}

fn with_results(store: Arc<dyn Store>, results: usize) -> Arc<dyn Store> {
    make(&*store, SMALL, None, |rootfs| fs::write(rootfs.join("file"), "x").expect("file"));
    for number in 1..results {
        make(&*store, number, Some(SMALL), |_| ());
    }
    store.sync().expect("sync");
    store
}

fn measure(stores: &[Arc<dyn Store>; 3], rounds: usize) {
    let mut rows = [(); 4].map(|()| <[Samples; 3]>::default());
    for round in 0..rounds * 4 {
        for (n, store) in stores.iter().enumerate() {
            let (wall, cpu) = timed(|| make(&**store, SMALL + 2 + round, Some(SMALL), |_| ()));
            push(&mut rows[0][n], wall);
            push(&mut rows[1][n], cpu);
            let (wall, cpu) = timed(|| store.delete(&id(SMALL + 2 + round)).expect("delete"));
            push(&mut rows[2][n], wall);
            push(&mut rows[3][n], cpu);
        }
    }
    for (name, row) in ["empty step", "  CPU", "delete", "  CPU"].iter().zip(&rows) {
        print_row(name, row);
    }
}

/// Alone: one such store is as large as all others.
fn measure_large(store: &Arc<dyn Store>, rounds: usize) {
    make(&**store, LARGE, None, |rootfs| fill(rootfs, FILES));
    store.sync().expect("sync");
    let mut rows = [(); 4].map(|()| <[Samples; 1]>::default());
    for round in 0..rounds {
        nix::unistd::sync();
        let number = LARGE + 1 + round;
        let change = |rootfs: &Path| fs::write(rootfs.join("0/0/0"), "changed").expect("file");
        let (wall, cpu) = timed(|| make(&**store, number, Some(LARGE), change));
        push(&mut rows[0][0], wall);
        push(&mut rows[1][0], cpu);
        let (wall, cpu) = timed(|| store.delete(&id(number)).expect("delete"));
        push(&mut rows[2][0], wall);
        push(&mut rows[3][0], cpu);
    }
    let names = [format!("one file of {FILES}"), "  CPU".into(), "delete".into(), "  CPU".into()];
    for (name, row) in names.iter().zip(&rows) {
        print_row(name, row);
    }
}

/// How deep the layers lie that are compared.
const DEPTHS: [usize; 3] = [1, 32, 127];

/// The first walk through a tree of many layers, each of which has one file of its own.
fn measure_depth(store: &Arc<dyn Store>, rounds: usize) {
    make(&**store, 0, None, |rootfs| fill(rootfs, FILES / 10));
    for number in 1..DEPTHS[2] {
        let change =
            |rootfs: &Path| fs::write(rootfs.join(format!("0/0/{number}")), "changed").expect("file");
        make(&**store, number, Some(number - 1), change);
    }
    let mut row = <[Samples; 3]>::default();
    for round in 0..rounds {
        for (n, depth) in DEPTHS.into_iter().enumerate() {
            let claim = store.claim(&id(SMALL + round), Some(&id(depth - 1))).expect("claim");
            let Claim::Build(draft) = claim else { panic!("it was kept") };
            push(&mut row[n], timed(|| assert!(walk(&draft.rootfs()) >= FILES / 10)).0);
        }
    }
    print_heading("us, overlayfs, by layers", &["1 layer", "32 layers", "127 layers"]);
    print_row(&format!("walk of {} files", FILES / 10), &row);
}

/// Looks at every file below `dir`; how many there are.
fn walk(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).expect("directory").map(|entry| entry.expect("entry"));
    entries
        .map(|entry| match entry.metadata().expect("metadata").is_dir() {
            true => walk(&entry.path()),
            false => 1,
        })
        .sum()
}

fn make(store: &dyn Store, number: usize, base: Option<usize>, change: impl FnOnce(&Path)) {
    let claim = store.claim(&id(number), base.map(id).as_ref()).expect("claim");
    let Claim::Build(draft) = claim else { panic!("{number} is there") };
    let rootfs: PathBuf = draft.rootfs();
    change(&rootfs);
    fs::write(draft.log(), "").expect("log");
    fs::write(draft.env(), "((env ()))").expect("env");
    draft.keep().expect("keep");
}

fn id(number: usize) -> StepId {
    StepId::parse(&format!("{number:064x}")).expect("id")
}

/// Wall and CPU time.
fn timed(code: impl FnOnce()) -> (Duration, Duration) {
    let (begun, cpu) = (Instant::now(), cpu());
    code();
    (begun.elapsed(), self::cpu().saturating_sub(cpu))
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("usage");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), 1000 * u32::try_from(time.tv_usec()).unwrap_or(0))
    };
    of(usage.user_time()) + of(usage.system_time())
}

fn push(samples: &mut Samples, time: Duration) {
    samples.push(time.as_secs_f64() * 1e6);
}
