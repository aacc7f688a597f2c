//! What was asked of the daemon: how often, and how long each answer took.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The kinds of request, by the protocol's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Kind {
    Lookup,
    Forget,
    Getattr,
    Setattr,
    Readlink,
    Mknod,
    Mkdir,
    Unlink,
    Rmdir,
    Symlink,
    Rename,
    Link,
    Open,
    Read,
    Write,
    Release,
    Fsync,
    Opendir,
    Readdir,
    Releasedir,
    Fsyncdir,
    Statfs,
    Setxattr,
    Getxattr,
    Listxattr,
    Removexattr,
    Create,
    Fallocate,
    Lseek,
    CopyFileRange,
    Tmpfile,
    Statx,
    Readdirplus,
}

/// Names in the order of [`Kind`].
const NAMES: [&str; 33] = [
    "lookup",
    "forget",
    "getattr",
    "setattr",
    "readlink",
    "mknod",
    "mkdir",
    "unlink",
    "rmdir",
    "symlink",
    "rename",
    "link",
    "open",
    "read",
    "write",
    "release",
    "fsync",
    "opendir",
    "readdir",
    "releasedir",
    "fsyncdir",
    "statfs",
    "setxattr",
    "getxattr",
    "listxattr",
    "removexattr",
    "create",
    "fallocate",
    "lseek",
    "copy_file_range",
    "tmpfile",
    "statx",
    "readdirplus",
];

/// Counts since the mount was made.
#[derive(Debug)]
pub(crate) struct Statistics {
    since: Instant,
    counters: [Counter; NAMES.len()],
}

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    nanoseconds: AtomicU64,
    longest: AtomicU64,
}

/// What was counted of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) count: u64,
    /// All answers together, in ns.
    pub(crate) nanoseconds: u64,
    /// The slowest answer, in ns.
    pub(crate) longest: u64,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { since: Instant::now(), counters: std::array::from_fn(|_| Counter::default()) }
    }
}

impl Statistics {
    /// Counts a request of that kind, which is answered when the returned value goes.
    pub(crate) fn time(&self, kind: Kind) -> Timing<'_> {
        Timing { counter: &self.counters[kind as usize], began: Instant::now() }
    }

    /// Seconds since the mount was made.
    pub(crate) fn seconds(&self) -> u64 {
        self.since.elapsed().as_secs()
    }

    /// The kinds that were asked for at least once.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let counts = NAMES.iter().zip(&self.counters).map(|(name, counter)| Count {
            name,
            count: counter.count.load(Ordering::Relaxed),
            nanoseconds: counter.nanoseconds.load(Ordering::Relaxed),
            longest: counter.longest.load(Ordering::Relaxed),
        });
        counts.filter(|count| count.count > 0).collect()
    }
}

/// A request being answered.
#[derive(Debug)]
pub(crate) struct Timing<'a> {
    counter: &'a Counter,
    began: Instant,
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        let took = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counter.count.fetch_add(1, Ordering::Relaxed);
        self.counter.nanoseconds.fetch_add(took, Ordering::Relaxed);
        self.counter.longest.fetch_max(took, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_under_its_own_name() {
        let statistics = Statistics::default();
        drop(statistics.time(Kind::Lookup));
        drop(statistics.time(Kind::Lookup));
        drop(statistics.time(Kind::CopyFileRange));
        let counts = statistics.counts();
        let named: Vec<_> = counts.iter().map(|count| (count.name, count.count)).collect();
        assert_eq!(named, [("lookup", 2), ("copy_file_range", 1)]);
        assert!(counts.iter().all(|count| count.longest <= count.nanoseconds));
    }
}
