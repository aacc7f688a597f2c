//! Requests to the daemon for each operation: counts that do not depend on the machine.
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use obuilder_tests::{World, binary};

use crate::place;

/// How often each operation is done while requests are counted.
const TIMES: usize = 100;

type Operation = fn(&Path, usize);

const CASES: [(&str, Operation); 9] = [
    ("stat, absolute path, depth 1", |dir, _| drop(fs::metadata(dir.join("a")))),
    ("stat, absolute path, depth 4", |dir, _| drop(fs::metadata(dir.join("a/b/c/file")))),
    ("stat, relative path", |dir, n| {
        if n == 0 {
            std::env::set_current_dir(dir.join("a/b")).expect("directory");
        }
        drop(fs::metadata("c/file"));
    }),
    ("failed look-up, depth 4", |dir, _| drop(fs::metadata(dir.join("a/b/c/none")))),
    ("failed look-up, depth 1", |dir, _| drop(fs::metadata(dir.join("none")))),
    ("open, read, close", |dir, _| {
        let mut text = String::new();
        drop(fs::File::open(dir.join("a/b/c/file")).and_then(|mut file| file.read_to_string(&mut text)));
    }),
    ("list a directory", |dir, _| drop(fs::read_dir(dir.join("a/b/c")).map(Iterator::count))),
    ("create, write, close, remove", |dir, n| {
        let file = dir.join("a/b/c").join(n.to_string());
        drop(fs::write(&file, "x").and_then(|()| fs::remove_file(&file)));
    }),
    ("rename", |dir, n| {
        let names = [dir.join("a/b/c/x"), dir.join("a/b/c/y")];
        drop(fs::rename(&names[n % 2], &names[(n + 1) % 2]));
    }),
];

/// Counts and prints the table.
pub(crate) fn run() {
    let world = World::new();
    let (user, local) = world.resident(41_201);
    user.run(|| {
        fs::create_dir_all(local.join("a/b/c")).expect("directories");
        fs::write(local.join("a/b/c/file"), "text").expect("file");
        fs::write(local.join("a/b/c/x"), "text").expect("file");
    });
    let mounted = world.mount();
    let (shared, private) = (mounted.point().to_owned(), world.scratch.dir("private"));
    let view = mounted.point().join(format!(".obuilderfs/{}-requests/local", user.uid));
    println!("\n{:<32}{:<36}private view", "requests per operation, warm", "shared mount");
    for (name, operation) in CASES {
        let count = |dir: &Path| {
            user.run(|| operation(dir, 0));
            let before = counts(&shared);
            user.run(|| (0..TIMES).for_each(|n| operation(dir, n)));
            difference(&before, &counts(&shared), TIMES)
        };
        let through_root = count(&shared);
        let mut in_view = String::new();
        place::in_namespace(&view, &private, || in_view = count(&private));
        println!("{name:<32}{through_root:<36}{in_view}");
    }
}

/// Counts what it costs to go through a tree for the first time, and prints it.
pub(crate) fn walks() {
    println!("\n{:<32}{:<8}requests", "a first walk, 20 000 files", "ms");
    for (name, walk) in WALKS {
        let world = World::new();
        let (user, local) = world.resident(41_201);
        user.run(|| plant(&local.join("tree")));
        let mounted = world.mount();
        // A directory of the tree to start from: paths that start at the mount point ask each time.
        let tree = mounted.point().join("tree");
        let before = counts(mounted.point());
        let began = Instant::now();
        user.run(|| {
            std::env::set_current_dir(&tree).expect("the tree");
            walk(Path::new("."));
        });
        let took = began.elapsed().as_millis();
        println!("{name:<32}{took:<8}{}", difference(&before, &counts(mounted.point()), 1));
    }
}

type Walk = fn(&Path);

const WALKS: [(&str, Walk); 4] = [
    ("names", |dir| walk(dir, |entry| drop(entry.file_type()))),
    ("names and metadata", |dir| {
        walk(dir, |entry| {
            let _ = nix::sys::stat::lstat(&entry.path());
        });
    }),
    ("names, metadata, birth times", |dir| walk(dir, |entry| drop(entry.metadata()))),
    ("names and contents", |dir| walk(dir, |entry| drop(fs::read(entry.path())))),
];

/// 200 directories of 100 files.
fn plant(tree: &Path) {
    for number in 0..200 {
        let dir = tree.join(format!("{}/{number}", number % 20));
        fs::create_dir_all(&dir).expect("directories");
        (0..100).for_each(|file| fs::write(dir.join(format!("file{file}")), "text").expect("file"));
    }
}

/// Lists a directory to its end, as most programs do, before it looks at what is in it.
fn walk(dir: &Path, look: fn(&fs::DirEntry)) {
    let entries: Vec<_> = fs::read_dir(dir).expect("directory").map_while(Result::ok).collect();
    for entry in &entries {
        look(entry);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), look);
        }
    }
}

/// What the daemon has counted so far, by the kind of request.
fn counts(mountpoint: &Path) -> Vec<(String, u64)> {
    let out = Command::new(binary::obuilderfs())
        .args(["status", "--json"])
        .arg(mountpoint)
        .output()
        .expect("obuilderfs status");
    let status: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let requests = status["requests"].as_array().cloned().unwrap_or_default();
    let count = |request: &serde_json::Value| {
        (request["kind"].as_str().unwrap_or_default().to_owned(), request["count"].as_u64().unwrap_or(0))
    };
    requests.iter().map(count).collect()
}

/// Requests for each time, those the caller does not wait for in brackets. What asking for the counts costs
/// itself rounds to nothing.
fn difference(before: &[(String, u64)], after: &[(String, u64)], times: usize) -> String {
    let shown = after.iter().filter_map(|(kind, now)| {
        let then = before.iter().find(|(name, _)| name == kind).map_or(0, |(_, count)| *count);
        let each = (now - then) as f64 / times as f64;
        let waited = !matches!(kind.as_str(), "forget" | "release" | "releasedir");
        match (each >= 0.1, waited) {
            (false, _) => None,
            (true, true) => Some(format!("{each:.0} {kind}")),
            (true, false) => Some(format!("({each:.0} {kind})")),
        }
    });
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() { "0".to_owned() } else { shown.join(" ") }
}
