//! Pools to test on, and what only a store of datasets does.
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::transfer::trees::{require, require_root};

/// A pool that only this thread and those it starts see; it goes when this does, or this process ends
/// (`tests/zfs-pool`).
pub(super) struct Pool {
    pub(super) name: String,
    keeper: Child,
}

impl Pool {
    pub(super) fn can_be_made() -> bool {
        let has_tool = Command::new("zpool").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        require_root() && require("zpool and zfs (zfs-fuse)", has_tool)
    }

    /// One that is mounted in `dir`, under its name.
    pub(super) fn new(dir: &Path) -> Self {
        crate::transfer::trees::mounts::private();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/zfs-pool");
        let mut keeper =
            Command::new(script).arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut name = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut name).unwrap();
        assert!(!name.is_empty(), "no pool");
        Self { name: name.trim().to_owned(), keeper }
    }

    pub(super) fn zfs(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| word.replace("POOL", &self.name)).collect();
        let answer = Command::new("zfs").args(&words).output().unwrap();
        assert!(answer.status.success(), "zfs {words:?}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap()
    }

    /// A dataset that a killed builder left.
    pub(super) fn leave(&self, below: &str) {
        self.zfs(&["create", &format!("POOL/{below}")]);
    }

    /// The results and groups that OBuilder makes: results stay mounted, those that are not whole too.
    pub(super) fn fill_as_obuilder(&self, dir: &Path, result: &StepId, left: &StepId) {
        for below in
            ["state", "result", "cache", "cache-tmp", &format!("result/{result}"), &format!("result/{left}")]
        {
            self.zfs(&["create", &format!("POOL/{below}")]);
        }
        fs::create_dir(dir.join("state/db")).unwrap();
        let result_dir = dir.join("result").join(result.as_str());
        fs::create_dir(result_dir.join("rootfs")).unwrap();
        fs::write(result_dir.join("env"), "((env ()))").unwrap();
        fs::write(result_dir.join("log"), "log 1").unwrap();
        self.zfs(&["snapshot", "-r", &format!("POOL/result/{result}@snap")]);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }
}
