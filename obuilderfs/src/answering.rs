//! Whether the daemon of a mount answers. Whoever asks one that does not waits for ever, and may not even be
//! killed; so another process asks.
#![allow(unsafe_code)]
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, fork};

/// How long an answer may take: much more than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(5);

/// More descriptors than there are before anything is mounted.
const MANY: i32 = 256;

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It answers, or gives an error of its own.
    Given,
    /// There is no daemon any more.
    Dead,
    /// It has not answered within five seconds: stopped, or waiting for something itself.
    None,
}

/// Asks the daemon of the mount on `mountpoint` for something that the kernel does not keep. To be called while
/// the process has no other thread.
///
/// # Errors
/// No process can be started.
pub(crate) fn ask(mountpoint: &Path) -> io::Result<Answer> {
    let (mut answer, theirs) = io::pipe()?;
    // SAFETY: there is no other thread; the child makes system calls only and ends.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // Should it stay, nobody may wait for what it has open.
            for other in (0..MANY).filter(|&fd| fd != theirs.as_raw_fd()) {
                // SAFETY: nothing is used again in this process but `theirs`.
                unsafe { libc::close(other) };
            }
            let errno = statvfs(mountpoint).err().map_or(0, |e| e as i32);
            let _ = nix::unistd::write(&theirs, &errno.to_ne_bytes());
            // SAFETY: ends the child at once, running nothing of ours.
            unsafe { libc::_exit(0) }
        }
    };
    drop(theirs);
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    if poll(&mut [PollFd::new(answer.as_fd(), PollFlags::POLLIN)], patience)? == 0 {
        // It may be past being killed; then nobody waits for it.
        let _ = kill(child, Signal::SIGKILL);
        let _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
        return Ok(Answer::None);
    }
    let mut errno = [0; 4];
    let read = answer.read_exact(&mut errno);
    let _ = waitpid(child, None);
    read?;
    Ok(match Errno::from_raw(i32::from_ne_bytes(errno)) {
        Errno::ENOTCONN | Errno::ECONNABORTED => Answer::Dead,
        _ => Answer::Given,
    })
}
