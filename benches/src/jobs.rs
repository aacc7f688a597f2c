//! Whole jobs of a build machine: natively, through the shared mount, in a private view, and through bindfs.
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use obuilder_tests::{User, World};

use crate::place::{self, Bindfs};
use crate::samples::{Samples, print_heading, print_row};

/// A job, as a shell script: `$1` is the directory with the material, the working directory is where it is done.
const JOBS: [(&str, &str); 4] = [
    (
        "git clone and status",
        "git clone -q --no-hardlinks \"file://$1/repository\" clone && cd clone && git status --short",
    ),
    ("untar 3 000 files", "tar xf \"$1/tree.tar\""),
    (
        "compile 100 C files",
        "cp -r \"$1/c\" . && cd c && for f in *.c; do cc -O0 -c $f; done && cc *.o -o all && ./all",
    ),
    (
        "cargo build of a crate",
        "cp -r \"$1/crate\" . && cd crate && cargo build -q --offline 2>&1 && ./target/debug/sample",
    ),
];

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    let world = World::new();
    let (user, local) = world.resident(41_202);
    let material = world.scratch.dir("material");
    user.mkdir(&material);
    prepare(&user, &material);
    let (native, below, bound) =
        (world.scratch.dir("native"), world.scratch.dir("below"), world.scratch.dir("bindfs"));
    for dir in [&native, &below, &local] {
        user.mkdir(dir);
    }
    let mounted = world.mount();
    let bindfs = Bindfs::mount(&below, &bound);
    let private = world.scratch.dir("private");
    let view = mounted.point().join(format!(".obuilderfs/{}-jobs/local", user.uid));
    let mut places = vec![native, mounted.point().to_owned(), private.clone()];
    let mut names = vec!["native", "shared mount", "private view"];
    if bindfs.is_some() {
        places.push(bound);
        names.push("bindfs");
    } else {
        println!("bindfs is not installed and left out: apt-get install bindfs");
    }
    let toolchain = world.scratch.dir("toolchain");
    place::in_namespace(&view, &private, || {
        // The toolchain may lie where an ordinary user cannot go.
        place::bind(&sysroot(), &toolchain);
        let job = Job { user: &user, material: &material, toolchain: &toolchain };
        measure(rounds, &names, &places, &job);
    });
}

/// Who does the jobs, and with what.
struct Job<'a> {
    user: &'a User,
    material: &'a Path,
    toolchain: &'a Path,
}

fn sysroot() -> PathBuf {
    let out = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc");
    PathBuf::from(String::from_utf8_lossy(&out.stdout).trim())
}

fn measure(rounds: usize, names: &[&str], places: &[PathBuf], job: &Job<'_>) {
    print_heading("milliseconds", names);
    for (name, script) in JOBS {
        let mut samples = vec![Samples::default(); places.len()];
        for round in 0..=rounds {
            for (place, samples) in places.iter().zip(&mut samples) {
                let taken = time(job, place, script);
                // The first round only warms the caches.
                if round > 0 {
                    samples.push(taken);
                }
            }
        }
        print_row(name, &samples);
    }
}

/// Milliseconds that the script takes in a fresh directory of `place`.
fn time(job: &Job<'_>, place: &Path, script: &str) -> f64 {
    let Job { user, material, toolchain } = job;
    let path = std::env::var("PATH").unwrap_or_default();
    let dir = place.join("job");
    user.run(|| {
        fs::create_dir(&dir).expect("directory for a job");
        let start = Instant::now();
        let status = Command::new("sh")
            .args(["-ec", script, "sh"])
            .arg(material)
            .current_dir(&dir)
            .env("PATH", format!("{}/bin:{path}", toolchain.display()))
            .env("HOME", material)
            .env("CARGO_HOME", material.join("cargo"))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .stdout(Stdio::null())
            .status()
            .expect("sh");
        let taken = start.elapsed().as_secs_f64() * 1e3;
        assert!(status.success(), "{script}: {status}");
        fs::remove_dir_all(&dir).expect("remove what the job left");
        taken
    })
}

/// A git repository, an archive, C files and a crate.
fn prepare(user: &User, material: &Path) {
    user.run(|| {
        let tree = material.join("tree");
        for i in 0..30 {
            let below = tree.join(format!("directory-{i}/inner"));
            fs::create_dir_all(&below).expect("directories");
            for j in 0..100 {
                fs::write(below.join(format!("file-{j}.txt")), format!("{i} {j}\n").repeat(50)).expect("file");
            }
        }
        fs::create_dir(material.join("c")).expect("directory");
        let mut main = String::from("int main(void) { int sum = 0;\n");
        for i in 0..100 {
            let text = format!("#include <stdio.h>\n#include <stdlib.h>\nint f{i}(int x) {{ return x + {i}; }}\n");
            fs::write(material.join(format!("c/f{i}.c")), text).expect("file");
            writeln!(main, "extern int f{i}(int); sum += f{i}({i});").expect("text");
        }
        fs::write(material.join("c/main.c"), main + "return sum == 0; }\n").expect("file");
        let source = material.join("crate/src");
        fs::create_dir_all(&source).expect("directory");
        let manifest = "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
        fs::write(material.join("crate/Cargo.toml"), manifest).expect("file");
        let body = "fn main() { let words: Vec<String> = (0..9).map(|n| n.to_string()).collect(); println!(\"{words:?}\"); }\n";
        fs::write(source.join("main.rs"), body).expect("file");
    });
    let commands = "tar cf tree.tar tree && cd tree && git init -q . && git add . \
                    && git -c user.name=n -c user.email=e commit -qm all && cd .. && mv tree repository";
    let out = user.run(|| {
        Command::new("sh").args(["-ec", commands]).env("HOME", material).current_dir(material).output()
    });
    let out = out.expect("sh");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
