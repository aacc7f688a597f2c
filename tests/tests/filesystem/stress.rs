//! Many users with many workers on the same names: nobody ever sees what is another's.
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use obuilder_tests::{User, World};

use crate::can_mount;

const NAMES: [&str; 6] = ["bin", "lib", "share", "a", "b", "c"];

/// A small generator of pseudo-random numbers (xorshift64), so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }
}

/// What one worker of one user does, and what it saw of others.
struct Worker<'a> {
    user: &'a User,
    point: &'a Path,
    random: Random,
    foreign: &'a AtomicUsize,
}

impl Worker<'_> {
    /// Errors that follow from the user's two workers being in each other's way.
    fn expected(error: &io::Error) -> bool {
        use io::ErrorKind as K;
        matches!(
            error.kind(),
            K::NotFound
                | K::AlreadyExists
                | K::DirectoryNotEmpty
                | K::IsADirectory
                | K::NotADirectory
                | K::InvalidInput
        )
    }

    #[track_caller]
    fn note<T>(&self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(e) if Self::expected(&e) => None,
            Err(e) => panic!("uid {} at {}: {e}", self.user.uid, std::panic::Location::caller()),
        }
    }

    fn mine(&self, text: &[u8], what: &str) {
        let own = self.user.uid.to_string();
        if !text.chunks(own.len()).all(|chunk| chunk == &own.as_bytes()[..chunk.len()]) {
            self.foreign.fetch_add(1, Ordering::Relaxed);
            eprintln!("uid {own} found in {what}: {}", String::from_utf8_lossy(&text[..text.len().min(40)]));
        }
    }

    fn step(&mut self) {
        let dir = self.point.join(self.random.name()).join(self.random.name());
        let file = dir.join(format!("file-{}", self.random.below(4)));
        let other = self.point.join(self.random.name()).join(format!("file-{}", self.random.below(4)));
        let own = self.user.uid.to_string();
        let text = own.repeat(1 + self.random.below(2000));
        match self.random.below(12) {
            0 => drop(self.note(fs::create_dir_all(&dir))),
            1 | 2 => drop(self.note(fs::write(&file, text))),
            3..=5 => {
                if let Some(text) = self.note(fs::read(&file)) {
                    self.mine(&text, "a file");
                }
            }
            6 => {
                if let Some(meta) = self.note(fs::symlink_metadata(&file)) {
                    self.mine(meta.uid().to_string().as_bytes(), "an owner");
                }
            }
            7 => drop(self.note(fs::rename(&file, &other))),
            8 => drop(self.note(fs::remove_file(&file))),
            9 => {
                let link = dir.join("link");
                let _ = self.note(symlink(&own, &link));
                if let Some(target) = self.note(fs::read_link(&link)) {
                    self.mine(target.as_os_str().as_encoded_bytes(), "a link");
                }
            }
            10 => drop(self.note(fs::remove_dir(&dir))),
            _ => self.list(),
        }
    }

    /// The root holds one name of each user's own; another's must never be listed.
    fn list(&self) {
        for entry in self.note(fs::read_dir(self.point)).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(uid) = name.strip_prefix("of-") {
                self.mine(uid.as_bytes(), "the root's names");
            }
        }
    }
}

#[test]
fn four_users_with_two_workers_each_never_meet_anothers_bytes_owners_names_or_links() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let users: Vec<User> = (41_160..41_164).map(|uid| world.resident(uid).0).collect();
    let mount = world.mount();
    let foreign = AtomicUsize::new(0);
    for user in &users {
        user.run(|| fs::write(mount.point().join(format!("of-{}", user.uid)), "x").unwrap());
    }
    std::thread::scope(|scope| {
        for (index, user) in users.iter().chain(&users).enumerate() {
            let random = Random(0x9E37_79B9_7F4A_7C15 ^ (index as u64 + 1));
            let mut worker = Worker { user, point: mount.point(), random, foreign: &foreign };
            scope.spawn(move || {
                user.run(|| {
                    for _ in 0..5000 {
                        worker.step();
                    }
                });
            });
        }
    });
    assert_eq!(foreign.load(Ordering::Relaxed), 0, "foreign things seen");
}
