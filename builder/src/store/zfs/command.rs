//! Every command of ZFS that a store runs, spelled as OpenZFS 2 on Linux and macOS and zfs-fuse understand it.
//!
//! zfs-fuse is of 2010: its `list` has no `-p`, its `zpool get` no `-H`, and it has no `.zfs` directory. So numbers
//! are asked of `zfs get -p`, and nothing is read by way of `.zfs`.
use crate::host::HostError;
use crate::host::run::Run;

use super::failure::{Failure, Kind};
use super::patience::patiently;
use super::programs::Programs;

/// The snapshot of a dataset that makes it a whole result.
pub(super) const SNAP: &str = "snap";

/// Runs them.
pub(super) struct Zfs {
    programs: Programs,
    run: Box<dyn Run>,
}

/// What is known of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dataset {
    pub(super) name: String,
    pub(super) mounted: bool,
    pub(super) mountpoint: String,
}

impl Zfs {
    pub(super) fn new(programs: Programs, run: Box<dyn Run>) -> Self {
        Self { programs, run }
    }

    /// Those of `datasets` that are there, with their children.
    pub(super) fn list(&self, datasets: &[String]) -> Result<Vec<Dataset>, Failure> {
        let mut words = vec!["list", "-H", "-d", "1", "-t", "filesystem", "-o", "name,mounted,mountpoint"];
        words.extend(datasets.iter().map(String::as_str));
        let answer = self.answer(&words)?;
        match answer {
            Ok(said) => Ok(datasets_of(&said)),
            Err((failure, said)) if failure.kind == Kind::Missing => Ok(datasets_of(&said)),
            Err((failure, _)) => Err(failure),
        }
    }

    /// Whether there is a dataset or a snapshot of that name.
    pub(super) fn exists(&self, name: &str) -> Result<bool, Failure> {
        absent_as(self.zfs(&["list", "-H", "-t", "filesystem,snapshot", "-o", "name", name]), String::new())
            .map(|said| !said.is_empty())
    }

    /// The guid of a dataset, if there is one.
    pub(super) fn guid(&self, dataset: &str) -> Result<Option<u64>, Failure> {
        let said = absent_as(self.zfs(&["get", "-H", "-p", "-o", "value", "guid", dataset]), String::new())?;
        Ok(said.trim().parse().ok())
    }

    /// The names of all datasets and snapshots below `dataset`, and when each was made, in seconds since 1970.
    pub(super) fn creations(&self, dataset: &str) -> Result<Vec<(String, i64)>, Failure> {
        let said = self.zfs(&["get", "-H", "-p", "-r", "-o", "name,value", "creation", dataset])?;
        let line = |line: &str| {
            let (name, value) = line.split_once('\t')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Ok(said.lines().filter_map(line).collect())
    }

    /// The names of all datasets below `dataset`, and of the snapshot each was cloned from, or `-`.
    pub(super) fn origins(&self, dataset: &str) -> Result<Vec<(String, String)>, Failure> {
        let said = self.zfs(&["list", "-H", "-r", "-t", "filesystem", "-o", "name,origin", dataset])?;
        let line =
            |line: &str| line.split_once('\t').map(|(name, origin)| (name.into(), origin.trim().into()));
        Ok(said.lines().filter_map(line).collect())
    }

    /// The names of `dataset`, if it is there, and of all datasets and snapshots below it, the oldest first.
    pub(super) fn tree(&self, dataset: &str) -> Result<Vec<String>, Failure> {
        let words =
            ["list", "-H", "-r", "-t", "filesystem,snapshot", "-o", "name", "-s", "creation", dataset];
        Ok(absent_as(self.zfs(&words), String::new())?.lines().map(str::to_owned).collect())
    }

    /// Used and available bytes.
    pub(super) fn space(&self, dataset: &str) -> Result<(u64, u64), Failure> {
        let said = self.zfs(&["get", "-H", "-p", "-o", "value", "used,available", dataset])?;
        let mut numbers = said.lines().map(|line| line.trim().parse().unwrap_or(0));
        Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
    }

    /// How many bytes are still to be freed; `None` where ZFS frees them at once.
    pub(super) fn freeing(&self, pool: &str) -> Result<Option<u64>, Failure> {
        let words = [&self.programs.zpool[..], &["list".into(), "-H".into(), "-p".into()]].concat();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(["-o", "freeing", pool]);
        let answer = self.run.run(&words).map_err(|error| self.not_started(&error))?;
        Ok(answer.stdout.trim().parse().ok())
    }

    /// A dataset that is mounted only when it is told to be. zfs-fuse mounts it at once all the same.
    pub(super) fn create(&self, dataset: &str) -> Result<(), Failure> {
        self.zfs(&["create", "-o", "canmount=noauto", dataset]).map(drop)
    }

    /// A dataset that is mounted as long as the pool is.
    pub(super) fn create_group(&self, dataset: &str) -> Result<(), Failure> {
        tolerate(Kind::Exists, self.zfs(&["create", dataset]).map(drop))
    }

    pub(super) fn clone_of(&self, snapshot: &str, dataset: &str) -> Result<(), Failure> {
        self.zfs(&["clone", "-o", "canmount=noauto", snapshot, dataset]).map(drop)
    }

    pub(super) fn snapshot(&self, snapshot: &str) -> Result<(), Failure> {
        self.zfs(&["snapshot", snapshot]).map(drop)
    }

    pub(super) fn mount(&self, dataset: &str) -> Result<(), Failure> {
        tolerate(Kind::Mounted, patiently(|| self.zfs(&["mount", dataset]).map(drop)))
    }

    pub(super) fn mount_read_only(&self, dataset: &str) -> Result<(), Failure> {
        tolerate(Kind::Mounted, patiently(|| self.zfs(&["mount", "-o", "ro", dataset]).map(drop)))
    }

    /// Waits a while for those who still use it.
    pub(super) fn unmount(&self, dataset: &str) -> Result<(), Failure> {
        tolerate(Kind::NotMounted, patiently(|| self.zfs(&["unmount", dataset]).map(drop)))
    }

    /// Waits a while for those who still use it.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        patiently(|| self.zfs(&["rename", from, to]).map(drop))
    }

    pub(super) fn promote(&self, clone: &str) -> Result<(), Failure> {
        self.zfs(&["promote", clone]).map(drop)
    }

    /// With its snapshots and children; nothing there is fine. Waits a while for those who still use it.
    pub(super) fn destroy(&self, dataset: &str) -> Result<(), Failure> {
        tolerate(Kind::Missing, patiently(|| self.zfs(&["destroy", "-r", dataset]).map(drop)))
    }

    /// As soon as nothing depends on it any more.
    pub(super) fn destroy_later(&self, snapshot: &str) -> Result<(), Failure> {
        tolerate(Kind::Missing, self.zfs(&["destroy", "-d", snapshot]).map(drop))
    }

    fn zfs(&self, words: &[&str]) -> Result<String, Failure> {
        self.answer(words)?.map_err(|(failure, _)| failure)
    }

    /// What `zfs` says; if it fails, why, and what it said before.
    fn answer(&self, words: &[&str]) -> Result<Result<String, (Failure, String)>, Failure> {
        let mut command: Vec<&str> = self.programs.zfs.iter().map(String::as_str).collect();
        command.extend(words);
        let answer = self.run.run(&command).map_err(|error| self.not_started(&error))?;
        if answer.code == 0 {
            return Ok(Ok(answer.stdout));
        }
        Ok(Err((Failure::told(words, &answer.stderr), answer.stdout)))
    }

    fn not_started(&self, error: &HostError) -> Failure {
        Failure { kind: Kind::NotInstalled, said: error.to_string() }
    }
}

fn datasets_of(said: &str) -> Vec<Dataset> {
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let (name, mounted, mountpoint) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Dataset { name: name.into(), mounted: mounted == "yes", mountpoint: mountpoint.into() })
    };
    said.lines().filter_map(line).collect()
}

fn tolerate(kind: Kind, done: Result<(), Failure>) -> Result<(), Failure> {
    match done {
        Err(failure) if failure.kind == kind => Ok(()),
        other => other,
    }
}

fn absent_as<T>(answer: Result<T, Failure>, nothing: T) -> Result<T, Failure> {
    match answer {
        Err(failure) if failure.kind == Kind::Missing => Ok(nothing),
        other => other,
    }
}

#[cfg(test)]
mod tests;
