//! What the clone of a large tree costs where blocks are shared, beside `cp`.
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use obuilder::transfer::clone::clone_tree;
use obuilder::transfer::remove::remove_tree;

use crate::disks::{Disk, fill};
use crate::samples::{Samples, print_heading, print_row};

const FILES: usize = 100_000;

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    for kind in ["xfs", "btrfs"] {
        let Some(disk) = Disk::new(kind, 3) else { continue };
        let from = disk.dir().join("from");
        fill(&from, FILES);
        let mut samples = <[Samples; 3]>::default();
        for _ in 0..rounds {
            let to = disk.dir().join("to");
            for (variant, samples) in samples.iter_mut().enumerate() {
                settle();
                let begun = Instant::now();
                match variant {
                    0 => cp(&from, &to, 4),
                    1 => cp(&from, &to, 1),
                    _ => clone_tree(&from, &to, None).expect("clone"),
                }
                samples.push(begun.elapsed().as_secs_f64() * 1e3);
                remove_tree(&to).expect("remove");
            }
        }
        print_heading(&format!("ms per clone, {kind}"), &["cp --reflink, 4", "cp --reflink", "obuilder"]);
        print_row(&format!("{FILES} files"), &samples);
    }
}

/// What earlier variants left to write is nobody's cost.
fn settle() {
    nix::unistd::sync();
}

fn cp(from: &Path, to: &Path, processes: usize) {
    let script = "mkdir \"$2\" && cd \"$1\" && find . -mindepth 1 -maxdepth 1 -print0 |
        xargs -0 -n 1 -P \"$3\" cp -a --reflink=always -t \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(from).arg(to).arg(processes.to_string());
    assert!(command.status().expect("cp").success(), "cp fails");
}
