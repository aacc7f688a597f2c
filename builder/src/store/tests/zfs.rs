//! Pools to test on, and what only a store of datasets does.
mod commands;
mod faults;

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

/// What is mounted of results, drafts and caches.
fn mounted(case: &Case) -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let dir = case.path("").display().to_string();
    let points =
        table.lines().filter_map(|line| line.split(' ').nth(4)?.strip_prefix(&dir).map(str::to_owned));
    points.filter(|point| point.contains('/')).collect()
}

#[test]
fn a_result_is_mounted_only_while_somebody_reads_it_needs_root_and_zfs_fuse() {
    if !Pool::can_be_made() {
        return;
    }
    let case = Case::new(Kind::Zfs);
    let made = case.make(1, None);
    assert_eq!(fs::read_to_string(made.log()).unwrap(), "log 1");
    assert_eq!(mounted(&case), [""; 0]);
    let others = case.site.open();
    let (one, two) = (made.tree().unwrap(), tree(&*others, 1));
    assert_eq!(mounted(&case), [format!("result/{}", id(1))]);
    assert!(fs::write(one.join("1"), "changed").is_err(), "it is read-only");
    drop(one);
    assert_eq!(fs::read_to_string(two.join("1")).unwrap(), "file 1");
    drop(two);
    assert_eq!(mounted(&case), [""; 0]);
    let dataset = format!("POOL/result/{}", id(1));
    let pool = case.site.pool.as_ref().unwrap();
    assert_eq!(pool.zfs(&["get", "-H", "-o", "value", "canmount", &dataset]), "noauto\n");
}

#[test]
fn what_a_killed_process_was_reading_is_unmounted_by_the_next_to_open_the_store_needs_root_and_zfs_fuse() {
    if !Pool::can_be_made() {
        return;
    }
    let mut case = Case::new(Kind::Zfs);
    drop(case.make(1, None).tree().unwrap());
    let pool = case.site.pool.as_ref().unwrap();
    pool.zfs(&["mount", &format!("POOL/result/{}", id(1))]);
    fs::write(case.path("state/mounts").join(format!("{}-all", id(1))), "").unwrap();
    assert_eq!(mounted(&case).len(), 1);
    case.reopen();
    assert_eq!((mounted(&case), case.names("state/mounts")), (Vec::new(), Vec::new()));
}

#[test]
fn what_keeps_a_dataset_busy_is_named_needs_root_and_zfs_fuse() {
    if !Pool::can_be_made() {
        return;
    }
    let case = Case::new(Kind::Zfs);
    let draft = case.draft(1, None);
    let open = fs::File::open(draft.rootfs()).unwrap();
    let error = draft.keep().err().unwrap().to_string();
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let end = format!(": it is used by {} ({})", name.trim(), std::process::id());
    assert!(error.starts_with("cannot unmount ") && error.ends_with(&end), "{error}");
    drop(open);
}

#[test]
fn a_pool_that_is_full_is_named_and_what_was_there_stays_needs_root_and_zfs_fuse() {
    if !Pool::can_be_made() {
        return;
    }
    let case = Case::new(Kind::Zfs);
    case.make(1, None);
    let draft = case.draft(2, Some(1));
    let mut file = fs::File::create(draft.rootfs().join("large")).unwrap();
    let block: Vec<u8> = (0..1_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    drop(file);
    match draft.keep() {
        Err(error) => assert!(error.to_string().contains("no space left"), "{error}"),
        Ok(kept) => drop(kept),
    }
    let _ = case.store.delete(&id(2));
    assert!(case.found(1) && !case.found(2));
    case.make(3, Some(1));
}

#[test]
fn a_result_of_a_mac_worker_is_put_together_from_its_two_datasets_needs_root_and_zfs_fuse() {
    if !Pool::can_be_made() {
        return;
    }
    let case = Case::new(Kind::Zfs);
    let pool = case.site.pool.as_ref().unwrap();
    let result = format!("POOL/result/{}", id(1));
    for below in ["", "/home", "/brew"] {
        pool.zfs(&["create", &format!("{result}{below}")]);
    }
    let dir = case.path("result").join(id(1).as_str());
    fs::write(dir.join("log"), "log 1").unwrap();
    fs::write(dir.join("home/.profile"), "A=1").unwrap();
    std::os::unix::fs::symlink("/usr/local", dir.join("home/local")).unwrap();
    fs::create_dir(dir.join("brew/bin")).unwrap();
    pool.zfs(&["snapshot", "-r", &format!("{result}@snap")]);
    for below in ["/home", "/brew"] {
        pool.zfs(&["set", "mountpoint=none", &format!("{result}{below}")]);
    }
    assert_eq!(fs::read_to_string(case.store.find(&id(1)).unwrap().unwrap().log()).unwrap(), "log 1");
    let made = case.make(2, Some(1));
    assert_eq!(fs::read_to_string(made.tree().unwrap().join(".profile")).unwrap(), "A=1");
    assert!(made.tree().unwrap().join("local/bin").is_dir());
    drop(made);
    case.store.delete(&id(2)).unwrap();
    case.store.delete(&id(1)).unwrap();
    assert!(case.names("result").is_empty() && case.names("result-tmp").is_empty());
}

#[test]
fn no_more_is_pruned_from_a_pool_than_has_to_go_needs_root_and_zfs_fuse() {
    use crate::store::removal::{Rules, prune};
    if !Pool::can_be_made() {
        return;
    }
    let case = Case::new(Kind::Zfs);
    for number in 1..=3 {
        let draft = case.draft(number, None);
        fs::write(draft.rootfs().join("large"), vec![number; 40 << 20]).unwrap();
        drop(draft.keep().unwrap());
    }
    let free = case.store.free().unwrap();
    assert!((30.0..60.0).contains(&free), "{free}");
    // Precise enough for a percentage.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rules = Rules { free: Some(free as u8 + 8), ..Rules::default() };
    let removed = prune(&*case.store, &rules, |_| ()).unwrap().removed;
    assert_eq!((removed, case.names("result").len()), (1, 2));
}
