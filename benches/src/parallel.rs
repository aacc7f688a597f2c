//! Eight users at once: one obuilderfs for all of them, against a bindfs for each.
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use obuilder_tests::{User, World};

use crate::place::{self, Bindfs};
use crate::samples::{Samples, print_heading, print_row};

const USERS: u32 = 8;
const FILES: usize = 300;

type Naming = fn(&User) -> String;

/// What each user does in its own tree: makes files, looks at them, reads them, and removes them.
fn work(tree: &Path) {
    for directory in 0..FILES / 30 {
        fs::create_dir_all(tree.join(format!("d{directory}"))).expect("directory");
    }
    let path = |n: usize| tree.join(format!("d{}/file-{n}", n / 30));
    (0..FILES).for_each(|n| fs::write(path(n), vec![1; 4096]).expect("write"));
    for _ in 0..3 {
        (0..FILES).for_each(|n| assert!(fs::metadata(path(n)).is_ok()));
        (0..FILES).for_each(|n| assert!(fs::read(path(n)).is_ok()));
        (0..FILES).for_each(|n| assert!(fs::metadata(path(n).with_extension("none")).is_err()));
    }
    fs::remove_dir_all(tree).expect("remove");
}

/// Milliseconds until all users have done it, each in its own place, under the name that `name` gives it.
fn time(users: &[User], places: &[PathBuf], name: Naming) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for (user, place) in users.iter().zip(places) {
            scope.spawn(move || user.run(|| work(&place.join(name(user)))));
        }
    });
    start.elapsed().as_secs_f64() * 1e3
}

/// Measures and prints the table.
pub(crate) fn run(rounds: usize) {
    let world = World::new();
    let users: Vec<User> = (41_210..41_210 + USERS).map(|uid| world.resident(uid).0).collect();
    let of_each = |role: &str| -> Vec<PathBuf> {
        let dir = |user: &User| world.scratch.dir(role).join(user.uid.to_string());
        let dirs: Vec<PathBuf> = users.iter().map(dir).collect();
        users.iter().zip(&dirs).for_each(|(user, dir)| user.mkdir(dir));
        dirs
    };
    let (native, below, bound) = (of_each("native"), of_each("below"), of_each("bindfs"));
    let mounted = world.mount();
    let bindfs: Option<Vec<Bindfs>> =
        below.iter().zip(&bound).map(|(below, bound)| Bindfs::mount(below, bound)).collect();
    let shared = vec![mounted.point().to_owned(); users.len()];
    let private = of_each("private");
    let view = |user: &User| mounted.point().join(format!(".obuilderfs/{}-parallel/local", user.uid));
    let first = private[0].clone();
    place::in_namespace(&view(&users[0]), &first, || {
        for (user, private) in users.iter().zip(&private).skip(1) {
            place::bind(&view(user), private);
        }
        let mut variants = vec![("native", native), ("shared mount", shared), ("private views", private)];
        if bindfs.is_some() {
            variants.push(("8 × bindfs", bound));
        } else {
            println!("bindfs is not installed and left out: apt-get install bindfs");
        }
        measure(rounds, &users, &variants);
    });
}

/// What the users call what they make. At the root of a mount that they share, the kernel drops what it keeps under
/// a name as soon as another user asks for that name.
const NAMES: [(&str, Naming); 2] = [
    ("8 users, one name each", |user| format!("tree-{}", user.uid)),
    ("8 users, the same name", |_| "tree".to_owned()),
];

fn measure(rounds: usize, users: &[User], variants: &[(&str, Vec<PathBuf>)]) {
    let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
    print_heading("milliseconds", &names);
    for (row, name) in NAMES {
        let mut samples = vec![Samples::default(); variants.len()];
        for round in 0..=rounds {
            for ((_, places), samples) in variants.iter().zip(&mut samples) {
                let taken = time(users, places, name);
                // The first round only warms the caches.
                if round > 0 {
                    samples.push(taken);
                }
            }
        }
        print_row(row, &samples);
    }
}
