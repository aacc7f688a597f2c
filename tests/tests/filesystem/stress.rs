//! Many users with many workers on the same names: nobody ever sees what is another's, while links are swapped
//! and taken away.
//!
//! `OBUILDER_TESTS_STRESS_SECONDS` asks for more than some seconds of it.
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use obuilder_tests::random::Random;
use obuilder_tests::{User, World};

use crate::can_mount;

const NAMES: [&str; 6] = ["bin", "lib", "share", "a", "b", "c"];
/// What takes longer hangs.
const LONG: Duration = Duration::from_secs(10);

/// What was done and what was wrong with it.
#[derive(Debug, Default)]
struct Counts {
    operations: AtomicU64,
    foreign: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
    hangs: AtomicU64,
}

/// One worker of one user.
struct Worker<'a> {
    user: &'a User,
    /// Whose bytes it may find: its own, and the fallback's if its link is taken away meanwhile.
    tags: Vec<String>,
    point: &'a Path,
    random: Random,
    counts: &'a Counts,
}

/// Errors that follow from workers of one user being in each other's way, or from a link that moves between the
/// two halves of a rename.
fn is_expected(error: &io::Error) -> bool {
    use libc::{EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EXDEV};
    error
        .raw_os_error()
        .is_some_and(|errno| [ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EINVAL, EXDEV].contains(&errno))
}

impl Worker<'_> {
    #[track_caller]
    fn note<T>(&self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(e) if is_expected(&e) => None,
            // The fallback is root's.
            Err(e) if self.tags.len() > 1 && e.raw_os_error() == Some(libc::EACCES) => None,
            Err(e) => {
                let line = std::panic::Location::caller().line();
                *self.counts.errors.lock().unwrap().entry(format!("line {line}: {e}")).or_default() += 1;
                None
            }
        }
    }

    /// `bytes` have to be one of the tags, repeated.
    fn mine(&self, bytes: &[u8], what: &str) {
        let is = |tag: &String| bytes.chunks(tag.len()).all(|chunk| chunk == &tag.as_bytes()[..chunk.len()]);
        if !self.tags.iter().any(is) {
            self.counts.foreign.fetch_add(1, Ordering::Relaxed);
            let found = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            eprintln!("uid {} found in {what}: {found}", self.user.uid);
        }
    }

    fn path(&mut self) -> PathBuf {
        let mut path = self.point.to_owned();
        (0..=self.random.below(3)).for_each(|_| path.push(self.random.pick(&NAMES)));
        path
    }

    fn step(&mut self) {
        let (one, two) = (self.path(), self.path());
        let own = self.tags[0].clone();
        let text = own.repeat(1 + self.random.below(2000));
        match self.random.below(16) {
            0 | 1 => drop(self.note(fs::create_dir(&one))),
            2..=4 => drop(self.note(fs::write(&one, text))),
            5..=7 => {
                if let Some(text) = self.note(fs::read(&one)) {
                    self.mine(&text, "a file");
                }
            }
            8 => {
                if let Some(meta) = self.note(fs::symlink_metadata(&one)) {
                    self.mine(format!("{:05}", meta.uid()).as_bytes(), "an owner");
                }
            }
            9..=11 => {
                let flags = *self.random.pick(&[RenameFlags::empty(), RenameFlags::RENAME_EXCHANGE]);
                let renamed = renameat2(AT_FDCWD, &one, AT_FDCWD, &two, flags);
                let _ = self.note(renamed.map_err(io::Error::from));
            }
            12 => drop(self.note(fs::remove_file(&one))),
            13 => {
                let _ = self.note(symlink(&own, &one));
                if let Some(target) = self.note(fs::read_link(&one)) {
                    self.mine(target.as_os_str().as_encoded_bytes(), "a link");
                }
            }
            14 => drop(self.note(fs::remove_dir_all(&one))),
            _ => self.list(),
        }
        self.counts.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// The root holds one name of each user's own; another's must never be listed.
    fn list(&self) {
        for entry in self.note(fs::read_dir(self.point)).into_iter().flatten() {
            if let Some(name) = self.note(entry).map(|entry| entry.file_name())
                && let Some(tag) = name.to_str().and_then(|name| name.strip_prefix("of-"))
            {
                self.mine(tag.as_bytes(), "the root's names");
            }
        }
    }

    fn work(&mut self, until: Instant) {
        while Instant::now() < until {
            let began = Instant::now();
            self.step();
            if began.elapsed() > LONG {
                self.counts.hangs.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a user's links do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Stays,
    IsSwapped,
    IsTakenAway,
    IsRoots,
}

fn mark(dir: &Path, tag: &str) {
    fs::write(dir.join(OsStr::new(&format!("of-{tag}"))), tag).unwrap();
}

/// Moves the links of `movers` until `done`: to a second home, to none, and back.
fn move_links(world: &World, movers: &[(User, Link)], done: &AtomicBool) {
    let homes = world.scratch.path().join("homes");
    for round in 0.. {
        for (user, link) in movers {
            if done.load(Ordering::Relaxed) {
                return;
            }
            let name = if round % 2 == 0 { format!("{}-second", user.uid) } else { user.uid.to_string() };
            match link {
                Link::IsTakenAway if round % 2 == 0 => world.retract(user.uid),
                _ => world.publish(user.uid, &homes.join(name)),
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

#[test]
fn eight_users_and_root_never_meet_anothers_bytes_owners_names_or_links() {
    if !can_mount() {
        return;
    }
    let seconds = env::var("OBUILDER_TESTS_STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6);
    let world = World::new();
    let mut users: Vec<(User, Link)> = (41_160..41_168).map(|uid| (User::new(uid), Link::Stays)).collect();
    (users[0].1, users[1].1, users[2].1) = (Link::IsSwapped, Link::IsSwapped, Link::IsTakenAway);
    users.push((User::new(0), Link::IsRoots));
    fs::set_permissions(&world.fallback, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    mark(&world.fallback, "00000");
    for (user, link) in &users {
        let homes = [user.uid.to_string(), format!("{}-second", user.uid)];
        for home in homes.iter().filter(|_| *link != Link::IsRoots) {
            let home = world.home(home, user);
            mark(&home.join("local"), &user.uid.to_string());
            std::os::unix::fs::chown(home.join(format!("local/of-{}", user.uid)), Some(user.uid), None)
                .unwrap();
            world.publish(user.uid, &home);
        }
    }
    let mount = world.mount();
    let (counts, done) = (Counts::default(), AtomicBool::new(false));
    let until = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        let movers: Vec<_> = users
            .iter()
            .filter(|(_, link)| matches!(link, Link::IsSwapped | Link::IsTakenAway))
            .cloned()
            .collect();
        let (world, finished) = (&world, &done);
        scope.spawn(move || move_links(world, &movers, finished));
        let workers: Vec<_> = users
            .iter()
            .chain(&users)
            .enumerate()
            .map(|(index, (user, link))| {
                let mut tags = vec![format!("{:05}", user.uid)];
                tags.extend((*link == Link::IsTakenAway).then(|| "00000".to_owned()));
                let random = Random::new(index as u64 + 1);
                let mut worker = Worker { user, tags, point: mount.point(), random, counts: &counts };
                scope.spawn(move || user.run(|| worker.work(until)))
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let errors = counts.errors.into_inner().unwrap();
    let operations = count(&counts.operations);
    let per_million = |n: u64| n as f64 * 1e6 / operations.max(1) as f64;
    println!(
        "{operations} operations in {seconds} s; per million: {} foreign, {} errors, {} hangs",
        per_million(count(&counts.foreign)),
        per_million(errors.values().sum()),
        per_million(count(&counts.hangs))
    );
    assert_eq!((count(&counts.foreign), count(&counts.hangs)), (0, 0), "foreign things seen, hangs");
    assert!(errors.is_empty(), "{errors:#?}");
}
