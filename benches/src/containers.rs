//! What a step of `obuilder build` costs over its container alone, on file systems that share blocks.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use obuilder::sandbox::runc::config::{self, Container};
use obuilder_tests::{Containers, Scratch};

use crate::samples::{Samples, print_heading, print_row};
use crate::started;
use crate::usage::{Usage, measure};

/// Files of the base image, as the target has it.
const FILES: usize = 1000;
/// Steps of a build that is measured.
const STEPS: usize = 10;
/// Processor time that a step may add to its container, in microseconds.
const TARGET: f64 = 10_000.0;

/// Measures and prints a table for each file system that can be made here.
pub(crate) fn run(rounds: usize) {
    for kind in ["xfs", "btrfs"] {
        let scratch = Scratch::new();
        // The mount is this thread's alone, and goes with it.
        thread::scope(|scope| {
            scope.spawn(|| match mounted(kind, &scratch) {
                Ok(dir) => table(kind, &Steps::new(&dir), rounds),
                Err(why) => println!("\nno steps on {kind}: {why}"),
            });
        });
    }
}

/// A new file system in a file, mounted.
fn mounted(kind: &str, scratch: &Scratch) -> Result<PathBuf, String> {
    let (image, dir) = (scratch.path().join("image"), scratch.dir("mounted"));
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| e.to_string())?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|e| e.to_string())?;
    fs::File::create(&image).and_then(|file| file.set_len(4 << 30)).map_err(|e| e.to_string())?;
    let quiet = |command: &mut Command| match command.output() {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    };
    quiet(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image))?;
    quiet(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&dir))?;
    Ok(dir)
}

/// A base image, a store beside it, and a bundle for the bare runtime.
struct Steps {
    builds: Containers,
    bundle: PathBuf,
}

impl Steps {
    fn new(dir: &Path) -> Self {
        let builds = Containers::below(dir);
        let image = &builds.image;
        // Of busybox's many names the shell's is enough.
        for name in fs::read_dir(image.join("bin")).expect("bin").flatten() {
            if name.file_name() != "busybox" && name.file_name() != "sh" {
                fs::remove_file(name.path()).expect("remove a link");
            }
        }
        for number in 0..FILES {
            let dir = image.join(format!("usr/share/{}", number / 20));
            fs::create_dir_all(&dir).expect("directory");
            let text = format!("{number}\n").repeat(1 + number % 50 * 40);
            fs::write(dir.join(format!("file-{number}")), text).expect("file");
        }
        let bundle = builds.scratch.dir("bundle");
        let steps = Self { builds, bundle };
        measure(&mut steps.command("first"));
        fs::write(steps.bundle.join("config.json"), steps.config()).expect("config");
        steps
    }

    /// A build of [`STEPS`] steps that do nothing; `tag` tells them from those of other builds.
    fn command(&self, tag: &str) -> Command {
        let step = |n| format!(" (run (shell \": {tag} {n}\"))");
        let text = self.builds.text(&(0..STEPS).map(step).collect::<String>());
        let spec = self.builds.scratch.path().join(format!("spec-{tag}"));
        fs::write(&spec, text).expect("spec");
        self.builds.command(&spec)
    }

    /// The configuration that a step's container has, with nothing but the shell in it.
    fn config(&self) -> String {
        let container = Container {
            rootfs: self.builds.image.clone(),
            argv: ["/bin/sh", "-c", ":"].map(Into::into).into(),
            workdir: "/".into(),
            env: vec![("PATH".into(), "/bin".into())],
            user: (0, 0),
            host_network: false,
            files: Vec::new(),
            caches: Vec::new(),
            secrets: Vec::new(),
            fast_sync: false,
        };
        config::to_json(&container).expect("paths are UTF-8").to_string()
    }

    /// The container alone.
    fn bare(&self, round: usize) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.builds.scratch.path().join("runc"));
        command.args(["run", "--bundle"]).arg(&self.bundle);
        command.arg(format!("obuilder-bench-{}-{round}", std::process::id()));
        command
    }
}

fn table(kind: &str, steps: &Steps, rounds: usize) {
    let [mut wall, mut cpu] = [(); 2].map(|()| <[Samples; 2]>::default());
    let mut over = Samples::default();
    for round in 0..rounds {
        let bare = measure(&mut steps.bare(round));
        let mut command = steps.command(&format!("round-{round}"));
        let (new, cached) = (measure(&mut command), measure(&mut command));
        let step = per_step(new, cached);
        for (n, (of_wall, of_cpu)) in [micros(bare), step].into_iter().enumerate() {
            wall[n].push(of_wall);
            cpu[n].push(of_cpu);
        }
        over.push(step.1 - micros(bare).1);
    }
    print_heading(&format!("{kind}, microseconds"), &["runc run", "step"]);
    print_row("wall", &wall);
    print_row("CPU, children included", &cpu);
    let verdict = if over.median() <= TARGET { "held" } else { "MISSED" };
    let trace = steps.builds.scratch.path().join("trace");
    let bare = started::count(&steps.bare(rounds), &trace);
    let counted = started::count(&steps.command("traced"), &trace);
    if let (Some(bare), Some(counted)) = (bare, counted) {
        // The runtime is a process that the builder starts, and the step one that process 1 of the container does.
        let own = counted.processes.saturating_sub(STEPS * (bare.processes + 2));
        println!("processes of the builder's own in {STEPS} steps: {own}");
    }
    println!("over runc: {:.0} [{:.0}], target {TARGET:.0}: {verdict}", over.median(), over.min());
}

/// Wall and processor time in microseconds.
fn micros(usage: Usage) -> (f64, f64) {
    (usage.wall.as_secs_f64() * 1e6, usage.cpu.as_secs_f64() * 1e6)
}

/// What one step adds to a build that finds all its steps cached.
fn per_step(new: Usage, cached: Usage) -> (f64, f64) {
    let ((wall, cpu), (without_wall, without_cpu)) = (micros(new), micros(cached));
    #[allow(clippy::cast_precision_loss)]
    let steps = STEPS as f64;
    ((wall - without_wall) / steps, (cpu - without_cpu) / steps)
}
