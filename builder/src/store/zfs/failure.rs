//! What ZFS says when it refuses, and what it means.
use std::fmt;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// In its own words, on one line.
    pub(super) said: String,
}

/// The kinds of failures that are not all the same to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no `zfs`, or it cannot be started.
    NotInstalled,
    /// There is, but what it talks to is not there.
    NotRunning,
    /// No such dataset, snapshot or pool.
    Missing,
    /// Something has that name.
    Exists,
    /// Somebody uses it.
    Busy,
    /// Others were cloned from it.
    HasClones,
    /// It is mounted already.
    Mounted,
    /// It is not mounted.
    NotMounted,
    /// The pool is full.
    Full,
    /// The pool is read-only.
    ReadOnly,
    /// Only root, or somebody whom root lets, may do it.
    NotPermitted,
    /// Anything else.
    Other,
}

/// What is said, in small letters, and what that means. The first that fits counts.
const MEANINGS: &[(&str, Kind)] = &[
    ("permission denied", Kind::NotPermitted),
    ("must be run as root", Kind::NotPermitted),
    ("zfs-fuse daemon is running", Kind::NotRunning),
    ("modules are not loaded", Kind::NotRunning),
    ("modules cannot be auto-loaded", Kind::NotRunning),
    ("failed to initialize zfs library", Kind::NotRunning),
    ("does not exist", Kind::Missing),
    ("invalid dataset name", Kind::Missing),
    ("no such pool", Kind::Missing),
    ("could not find any snapshots", Kind::Missing),
    ("already exists", Kind::Exists),
    ("has dependent clones", Kind::HasClones),
    ("snapshot has clones", Kind::HasClones),
    ("already mounted", Kind::Mounted),
    ("not currently mounted", Kind::NotMounted),
    ("not mounted", Kind::NotMounted),
    ("busy", Kind::Busy),
    ("out of space", Kind::Full),
    ("no space left", Kind::Full),
    ("quota exceeded", Kind::Full),
    ("read-only", Kind::ReadOnly),
    // Two that mount at the same moment make it, and one of them is not the first.
    ("failed to create mountpoint", Kind::Busy),
];

impl Failure {
    /// What `said`, the answer to `words`, means.
    pub(super) fn told(words: &[&str], said: &str) -> Self {
        let small = said.to_lowercase();
        let kind =
            MEANINGS.iter().find(|(part, _)| small.contains(part)).map_or(Kind::Other, |(_, kind)| *kind);
        let said = said.trim().replace('\n', "; ");
        let said = if said.is_empty() { format!("zfs {} failed", words.join(" ")) } else { said };
        Self { kind, said }
    }
}

/// Why, for a person, after `cannot …: `.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::NotInstalled => f.write_str(
                "there is no zfs here; install zfsutils-linux, or zfs-fuse, or on macOS OpenZFS \
                 (openzfsonosx.org)",
            ),
            Kind::NotRunning => f.write_str(
                "ZFS is not running; load its module (modprobe zfs), or start the zfs-fuse daemon",
            ),
            Kind::Full => f.write_str("no space left in the pool"),
            Kind::ReadOnly => f.write_str("the pool is read-only"),
            Kind::NotPermitted => f.write_str("permission denied; run obuilder as root"),
            _ => f.write_str(&self.said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openzfs_and_zfs_fuse_say_is_understood() {
        for (said, kind) in [
            ("cannot open 'tank/a': dataset does not exist\n", Kind::Missing),
            ("cannot create 'nopool/x': no such pool 'nopool'", Kind::Missing),
            ("could not find any snapshots to destroy; check snapshot names.", Kind::Missing),
            ("cannot create 'tank/a': dataset already exists", Kind::Exists),
            ("cannot rename 'tank/a': dataset is busy", Kind::Busy),
            ("cannot unmount '/tank/a': pool or dataset is busy", Kind::Busy),
            ("cannot mount '/tank/a': failed to create mountpoint", Kind::Busy),
            ("cannot mount '/tank/a': failed to create mountpoint: Read-only file system", Kind::ReadOnly),
            ("umount: /m: target is busy.\ncannot unmount '/m': umount failed", Kind::Busy),
            ("cannot destroy 'tank/a': filesystem has dependent clones\nuse '-R' to", Kind::HasClones),
            ("cannot mount 'tank/a': filesystem already mounted", Kind::Mounted),
            ("cannot unmount 'tank/a': not currently mounted", Kind::NotMounted),
            ("cannot create snapshot 'tank/a@snap': out of space", Kind::Full),
            ("cannot create 'tank/a': pool is read-only", Kind::ReadOnly),
            ("cannot create 'tank/a': permission denied", Kind::NotPermitted),
            ("Permission denied the ZFS utilities must be run as root.", Kind::NotPermitted),
            (
                "connect: Permission denied\nPlease make sure that the zfs-fuse daemon is running.",
                Kind::NotPermitted,
            ),
            ("The ZFS modules are not loaded.\nTry running '/sbin/modprobe zfs'", Kind::NotRunning),
            (
                "connect: No such file or directory\nPlease make sure that the zfs-fuse daemon is running.",
                Kind::NotRunning,
            ),
            ("bad property list: invalid property 'x'", Kind::Other),
        ] {
            let failure = Failure::told(&["list"], said);
            assert_eq!(failure.kind, kind, "{said}");
            assert!(!failure.to_string().contains('\n'), "{failure}");
        }
        assert_eq!(Failure::told(&["list", "-H"], "").to_string(), "zfs list -H failed");
    }
}
