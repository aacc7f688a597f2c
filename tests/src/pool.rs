//! A ZFS pool for one test.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::process;

/// A pool that the calling thread and the processes it starts see, and that goes when this does, or when the test's
/// process ends (`tests/zfs-pool`).
#[derive(Debug)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where it is mounted: a path that ends in its name.
    pub dir: PathBuf,
    keeper: Child,
}

impl Pool {
    /// One below `dir`. The thread is in a mount namespace of its own from here on.
    pub fn below(dir: &Path) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/zfs-pool");
        let mut command = Command::new(script);
        command.arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = command.spawn().expect("tests/zfs-pool");
        let mut name = String::new();
        BufReader::new(keeper.stdout.take().expect("pipe")).read_line(&mut name).expect("the pool's name");
        let name = name.trim().to_owned();
        assert!(!name.is_empty(), "{script} made no pool");
        Self { dir: dir.join(&name), name, keeper }
    }

    /// Runs zfs with `words`, in which `POOL` stands for the pool; what it prints.
    pub fn zfs(&self, words: &[&str]) -> String {
        let words = words.iter().map(|word| word.replace("POOL", &self.name));
        let output = process::output(Command::new("zfs").args(words));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The datasets in `group` that are mounted.
    pub fn mounted_in(&self, group: &str) -> Vec<String> {
        let listed = self.zfs(&["list", "-H", "-r", "-o", "name,mounted", &format!("POOL/{group}")]);
        let mounted = listed.lines().filter_map(|line| line.strip_suffix("\tyes"));
        mounted.filter_map(|name| Some(name.split_once(&format!("/{group}/"))?.1.to_owned())).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
