//! Whether anybody can write to a file. The kernel knows it and tells it in one way only: it refuses a lease for
//! reading, `F_SETLEASE` in `fcntl(2)`, while the file is open for writing or mapped to be written.
//!
//! Whoever opens the file for writing in the moment in which we have the lease waits for its end, which comes at
//! once; who will not wait gets `EAGAIN`. Our own opens never wait: see [`undisturbed`].
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Once;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigHandler, Signal, signal};
use parking_lot::RwLock;

use super::objects::reopen;

/// Held for writing as long as there is a lease of ours.
static ASKING: RwLock<()> = RwLock::new(());

/// A file that can be asked whether somebody may write to it.
///
/// # Errors
/// As `open(2)`; `EAGAIN` if somebody has a lease on it.
pub(crate) fn open_to_ask(object: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    reopen(object, OFlag::O_RDONLY | OFlag::O_NONBLOCK)
}

/// Whether anybody has `file` open for writing, or mapped so. Only its owner may ask.
///
/// # Errors
/// As `fcntl(2)` with `F_SETLEASE`: not every file system can tell.
pub(crate) fn may_be_written(file: impl AsFd) -> Result<bool, Errno> {
    ignore_breaks();
    let file = file.as_fd().as_raw_fd();
    let _asking = ASKING.write();
    // SAFETY: plain values only.
    let taken = Errno::result(unsafe { libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) });
    match taken {
        Ok(_) => {
            // SAFETY: as above.
            Errno::result(unsafe { libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) }).map(|_| false)
        }
        Err(Errno::EAGAIN) => Ok(true),
        Err(e) => Err(e),
    }
}

/// Runs `open`, which does not wait for leases, so that none of ours is in its way.
pub(crate) fn undisturbed<T>(mut open: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    match open() {
        Err(Errno::EAGAIN) => {
            let _nobody_asks = ASKING.read();
            open()
        }
        result => result,
    }
}

/// Who waits for the end of a lease has its holder sent `SIGIO`, which would end us.
fn ignore_breaks() {
    static IGNORED: Once = Once::new();
    IGNORED.call_once(|| {
        // SAFETY: no handler of ours is replaced, and none is set.
        let _ = unsafe { signal(Signal::SIGIO, SigHandler::SigIgn) };
    });
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_may_be_written_as_long_as_it_is_open_for_that_or_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "text").unwrap();
        let read = fs::File::open(&path).unwrap();
        assert_eq!(may_be_written(&read), Ok(false));
        let write = fs::File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(may_be_written(&read), Ok(true));
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, which nothing refers to.
        let mapped =
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, write.as_raw_fd(), 0) };
        assert_ne!(mapped, libc::MAP_FAILED);
        drop(write);
        assert_eq!(may_be_written(&read), Ok(true));
        // SAFETY: the mapping above.
        assert_eq!(unsafe { libc::munmap(mapped, 4096) }, 0);
        assert_eq!(may_be_written(&read), Ok(false));
    }

    #[test]
    fn asking_disturbs_no_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "text").unwrap();
        let read = fs::File::open(&path).unwrap();
        let ended = std::sync::atomic::AtomicBool::new(false);
        let ended = &ended;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    may_be_written(&read).unwrap();
                }
            });
            let opened = (0..20_000).try_for_each(|_| {
                undisturbed(|| reopen(read.as_fd(), OFlag::O_WRONLY | OFlag::O_NONBLOCK)).map(drop)
            });
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(opened, Ok(()));
        });
    }
}
