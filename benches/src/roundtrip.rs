//! What a look-up costs beside the cheapest request that the same session can answer.
#![allow(unsafe_code)]
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use obuilder_tests::World;

use crate::samples::{Samples, print_heading, print_row};

const TIMES: usize = 4000;

/// An `ioctl` that nobody knows: the kernel asks the daemon, which says so before it looks at anything.
fn cheapest(file: &File) {
    const UNKNOWN: u64 = 0x6f62;
    // SAFETY: a command without a size passes no memory.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), UNKNOWN as _, 0) };
    assert_eq!(result, -1, "somebody knows it");
}

/// Attributes of an open file, from the daemon whatever the kernel keeps: `GETATTR`.
fn getattr(file: &File) {
    let mut stat = MaybeUninit::<libc::statx>::uninit();
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_FORCE_SYNC;
    // SAFETY: an empty path, and room for what the call writes, of which nothing is read.
    let result = unsafe {
        libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, libc::STATX_BASIC_STATS, stat.as_mut_ptr())
    };
    assert_eq!(result, 0, "statx");
}

fn stat(path: &Path) {
    fs::metadata(path).expect("stat");
}

/// Nanoseconds that each of many takes.
fn time(mut one: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..TIMES).for_each(|_| one());
    start.elapsed().as_secs_f64() * 1e9 / TIMES as f64
}

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    let world = World::new();
    let (user, local) = world.resident(41_203);
    let mounted = world.mount();
    user.run(|| {
        fs::create_dir_all(local.join("a/b/c")).expect("directories");
        fs::write(local.join("a/b/c/file"), "x").expect("file");
        let deep = mounted.point().join("a/b/c/file");
        let open = File::open(&deep).expect("open");
        let mut samples = vec![Samples::default(); 4];
        for round in 0..=rounds {
            let taken = [
                time(|| cheapest(&open)),
                time(|| getattr(&open)),
                time(|| stat(&mounted.point().join("a"))),
                time(|| stat(&deep)),
            ];
            // The first round only warms the caches.
            for (samples, taken) in samples.iter_mut().zip(taken).filter(|_| round > 0) {
                samples.push(taken);
            }
        }
        print_heading(
            "ns per request",
            &["unknown ioctl", "getattr, open file", "stat, depth 1", "stat, depth 4"],
        );
        print_row("through the shared mount", &samples);
    });
}
