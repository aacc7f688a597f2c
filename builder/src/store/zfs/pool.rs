//! Which dataset stands for which path of the store.
use std::path::{Path, PathBuf};

use super::command::SNAP;

/// What a store's directory holds, each a dataset of its own; those in them are its results, drafts and volumes.
/// `result-tmp` is ours, the others are OBuilder's too.
pub(super) const GROUPS: &[&str] = &["state", "result", "result-tmp", "cache", "cache-tmp"];

/// A pool, and where it is mounted.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) dir: PathBuf,
}

impl Pool {
    /// The dataset at `path`.
    pub(super) fn dataset(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.dir).unwrap_or(path);
        let below = below.to_string_lossy();
        if below.is_empty() { self.name.clone() } else { format!("{}/{below}", self.name) }
    }

    /// Whether `path` is that of a group, but for the state, which holds plain files.
    pub(super) fn is_group(&self, path: &Path) -> bool {
        let name = path.strip_prefix(&self.dir).ok().and_then(Path::to_str);
        name.is_some_and(|name| name != "state" && GROUPS.contains(&name))
    }

    /// Where the log and the environment of a draft or result are.
    pub(super) fn anchor(&self, place: &Path) -> PathBuf {
        self.dir.join("state/results").join(place.file_name().unwrap_or_default())
    }
}

/// The snapshot that makes `dataset` whole.
pub(super) fn snap(dataset: &str) -> String {
    format!("{dataset}@{SNAP}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dataset_of_a_path_is_what_lies_below_the_pool_s_mount_point() {
        let pool = Pool { name: "tank".into(), dir: "/Volumes/tank".into() };
        for (path, dataset) in [
            ("/Volumes/tank", "tank"),
            ("/Volumes/tank/result/0a", "tank/result/0a"),
            ("/Volumes/tank/cache-tmp/0-c-x", "tank/cache-tmp/0-c-x"),
        ] {
            assert_eq!(pool.dataset(Path::new(path)), dataset);
        }
        assert!(pool.is_group(Path::new("/Volumes/tank/result-tmp")));
        assert!(!pool.is_group(Path::new("/Volumes/tank/state")));
        assert!(!pool.is_group(Path::new("/Volumes/tank/result/0a")));
    }
}
