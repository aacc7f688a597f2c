//! Whether what this thread does is still wanted: asked by every walk over a tree between two of its files, so that
//! nobody waits for the end of a long one that is in vain.
//!
//! It belongs to the thread and not to the calls, as between who is told to stop and who walks there are layers
//! (a store, a fetcher) that have nothing to do with it.
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// Says whether some work is not wanted any more.
pub(crate) type Unwanted = Arc<dyn Fn() -> bool + Send + Sync>;

thread_local! {
    static UNWANTED: RefCell<Option<Unwanted>> = const { RefCell::new(None) };
}

/// Does `work`, which [`check`] ends with an error once `unwanted` says so. What takes away what `work` has made
/// does not ask.
pub(crate) fn while_wanted<T>(
    unwanted: impl Fn() -> bool + Send + Sync + 'static,
    work: impl FnOnce() -> T,
) -> T {
    as_wanted(Some(Arc::new(unwanted)), work)
}

/// What says so of this thread's work, for threads that help with it.
pub(crate) fn current() -> Option<Unwanted> {
    UNWANTED.with_borrow(Clone::clone)
}

/// Does `work` for as long as the work is wanted of which `unwanted` is [`current`].
pub(crate) fn as_wanted<T>(unwanted: Option<Unwanted>, work: impl FnOnce() -> T) -> T {
    let _restore = Restore(UNWANTED.replace(unwanted));
    work()
}

/// Puts back what was there before, also after a panic.
struct Restore(Option<Unwanted>);

impl Drop for Restore {
    fn drop(&mut self) {
        UNWANTED.set(self.0.take());
    }
}

/// An error of the kind [`io::ErrorKind::Interrupted`] once the work of this thread is not wanted any more.
pub(crate) fn check() -> io::Result<()> {
    match UNWANTED.with_borrow(|unwanted| unwanted.as_ref().is_some_and(|unwanted| unwanted())) {
        true => Err(io::ErrorKind::Interrupted.into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::clone::clone_tree;
    use super::super::copy::{CopyPlan, copy_into};
    use super::super::data::copy_bytes;
    use super::*;
    use crate::step::manifest::Manifest;

    #[test]
    fn work_is_ended_once_it_is_unwanted_and_what_comes_after_it_is_not() {
        check().unwrap();
        while_wanted(
            || true,
            || {
                assert_eq!(check().unwrap_err().kind(), io::ErrorKind::Interrupted);
                while_wanted(|| false, || check().unwrap());
                check().unwrap_err();
            },
        );
        check().unwrap();
    }

    /// Says that what is done is not wanted any more once it was asked `times`.
    fn until(times: usize) -> impl Fn() -> bool + Send + Sync + 'static {
        let asked = AtomicUsize::new(0);
        move || asked.fetch_add(1, Ordering::Relaxed) >= times
    }

    #[test]
    fn every_walk_over_a_tree_ends_between_two_files() {
        let temp = tempfile::tempdir().unwrap();
        let [source, clone, copy] = ["source", "clone", "copy"].map(|name| temp.path().join(name));
        fs::create_dir(&source).unwrap();
        fs::create_dir(&copy).unwrap();
        (0..100).for_each(|n| fs::write(source.join(n.to_string()), "x").unwrap());
        let items = [Manifest::generate(&source, OsStr::new(""), &[]).unwrap()];
        let plan = CopyPlan {
            items: &items,
            source: &source,
            rootfs: &copy,
            dst: Path::new("/"),
            into: true,
            owner: (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
        };
        let ended = [
            while_wanted(until(20), || Manifest::generate(&source, OsStr::new(""), &[]).is_err()),
            while_wanted(until(20), || clone_tree(&source, &clone, None).is_err()),
            while_wanted(until(20), || copy_into(&plan).is_err()),
        ];
        assert_eq!(ended, [true; 3]);
        for dir in [clone, copy] {
            let made = fs::read_dir(&dir).unwrap().count();
            assert!((1..20).contains(&made), "{made} in {}", dir.display());
        }
    }

    #[test]
    fn those_who_help_with_a_clone_ask_too() {
        let temp = tempfile::tempdir().unwrap();
        let [source, clone] = ["source", "clone"].map(|name| temp.path().join(name));
        for dir in 0..200 {
            let dir = source.join(dir.to_string());
            fs::create_dir_all(&dir).unwrap();
            (0..20).for_each(|n| fs::write(dir.join(n.to_string()), "").unwrap());
        }
        let first = std::thread::current().id();
        let by_a_helper = move || {
            // Who began waits for its helpers, so that they find something to do.
            std::thread::yield_now();
            std::thread::current().id() != first
        };
        while_wanted(by_a_helper, || clone_tree(&source, &clone, None)).unwrap_err();
    }

    #[test]
    fn a_large_file_is_not_copied_to_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let open =
            |name: &str| File::options().read(true).write(true).create_new(true).open(temp.path().join(name));
        let [from, to] = ["from", "to"].map(|name| open(name).unwrap());
        // A piece of data in each part that is copied at once.
        (0..8_u64).for_each(|part| from.write_all_at(b"x", part << 27).unwrap());
        let stat = nix::sys::stat::fstat(&from).unwrap();
        while_wanted(until(4), || copy_bytes(from.as_fd(), to.as_fd(), &stat)).unwrap_err();
        while_wanted(|| false, || copy_bytes(from.as_fd(), to.as_fd(), &stat)).unwrap();
    }
}
