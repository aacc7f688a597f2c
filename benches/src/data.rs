//! Bytes: natively, through the shared mount, and in a private view. Everything fits into the page cache, so that it
//! is the way there that is measured and not the device.
use std::fs::File;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use obuilder_tests::World;
use obuilder_tests::memory::{Mapping, Sharing};
use obuilder_tests::random::Random;

use crate::place;
use crate::samples::{Samples, print_heading, print_row};

const SIZE: usize = 128 << 20;
const LARGE: usize = 128 << 10;
const PAGE: usize = 4096;

/// Reads or writes the whole of a file of [`SIZE`] bytes.
type Job = fn(&File, &mut [u8]);

const JOBS: [(&str, Job); 6] = [
    ("sequential read, 128 KiB", |file, buffer| {
        for at in (0..SIZE).step_by(LARGE) {
            file.read_exact_at(buffer, at as u64).expect("read");
        }
    }),
    ("random read, 4 KiB", |file, buffer| {
        let mut random = Random::new(1);
        for _ in 0..SIZE / PAGE {
            file.read_exact_at(&mut buffer[..PAGE], page(&mut random)).expect("read");
        }
    }),
    ("sequential write, 128 KiB", |file, buffer| {
        for at in (0..SIZE).step_by(LARGE) {
            file.write_all_at(buffer, at as u64).expect("write");
        }
    }),
    ("random write, 4 KiB", |file, buffer| {
        let mut random = Random::new(2);
        for _ in 0..SIZE / PAGE {
            file.write_all_at(&buffer[..PAGE], page(&mut random)).expect("write");
        }
    }),
    ("read through mmap", |file, _| {
        let mapping = mapped(file);
        let sum = (0..SIZE).step_by(PAGE).map(|at| u64::from(mapping.get(at))).sum::<u64>();
        black_box(sum);
    }),
    ("write through mmap", |file, _| {
        let mut mapping = mapped(file);
        (0..SIZE).step_by(PAGE).for_each(|at| mapping.set(at, 9));
    }),
];

fn page(random: &mut Random) -> u64 {
    (random.below(SIZE / PAGE) * PAGE) as u64
}

fn mapped(file: &File) -> Mapping {
    Mapping::new(file, NonZeroUsize::new(SIZE).expect("a size"), Sharing::Shared).expect("mmap")
}

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    let world = World::new();
    let (user, _) = world.resident(41_204);
    let native = world.scratch.dir("native");
    user.mkdir(&native);
    let mounted = world.mount();
    let private = world.scratch.dir("private");
    let view = mounted.point().join(format!(".obuilderfs/{}-data/local", user.uid));
    place::in_namespace(&view, &private, || {
        user.run(|| measure(rounds, &[native, mounted.point().to_owned(), private.clone()]));
    });
}

fn open(dir: &Path, index: usize) -> File {
    let path = dir.join(format!("data-{index}"));
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path).expect("file");
    file.write_all_at(&vec![3; SIZE], 0).expect("fill");
    file.sync_all().expect("sync");
    file
}

fn measure(rounds: usize, places: &[PathBuf; 3]) {
    print_heading("µs per 128 MiB", &["native", "shared mount", "private view"]);
    // The mount and the view show one directory: each has a file of its own.
    let files: Vec<File> = places.iter().enumerate().map(|(index, dir)| open(dir, index)).collect();
    let mut buffer = vec![5; LARGE];
    for (name, job) in JOBS {
        let mut samples = vec![Samples::default(); files.len()];
        for round in 0..=rounds {
            for (file, samples) in files.iter().zip(&mut samples) {
                let start = Instant::now();
                job(file, &mut buffer);
                let taken = start.elapsed().as_secs_f64() * 1e6;
                // Nobody's round pays for writing back what another's wrote. The first only warms the caches.
                file.sync_all().expect("sync");
                if round > 0 {
                    samples.push(taken);
                }
            }
        }
        print_row(name, &samples);
    }
}
