//! Child processes: waiting without guessing how long, and forked code.
#![allow(unsafe_code)]
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::Resource;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// How long anything may take before a test calls it hung.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A descriptor that becomes readable when process `id` has ended.
pub fn pidfd(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two integers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call above has just opened `fd`, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits for process `id` to end; false when it is still there after `limit`. It need not be a child.
pub fn wait_for_end(id: u32, limit: Duration) -> bool {
    let Ok(fd) = pidfd(id) else { return true };
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(_) => {}
        }
    }
}

/// Tries `done` until it holds or [`LIMIT`] has passed: for what nothing announces.
pub fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Sends `signal` to `child` and waits for its end.
pub fn stop(child: &mut Child, signal: Signal) -> ExitStatus {
    let _ = send(child.id(), signal);
    if !wait_for_end(child.id(), LIMIT) {
        let _ = child.kill();
        let _ = child.wait();
        panic!("process {} did not end within {LIMIT:?} of {signal}", child.id());
    }
    child.wait().expect("status of the child")
}

/// Sends `signal` to the one process `id`.
pub fn send(id: u32, signal: Signal) -> nix::Result<()> {
    kill(Pid::from_raw(i32::try_from(id).expect("process id")), signal)
}

/// Sets both limits of `resource` for process `id`, prlimit(2).
///
/// # Errors
/// As prlimit(2).
pub fn limit(id: i32, resource: Resource, limit: u64) -> io::Result<()> {
    let limits = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: the limits are live for the call, which only reads them and stores nothing.
    let result = unsafe { libc::prlimit(id, resource as _, &raw const limits, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `command` to its end without any input, and returns what it printed, however much that is.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let id = child.id();
    // A pipe that nobody reads fills, and then nobody ends.
    let reader = thread::spawn(move || child.wait_with_output().expect("output of the child"));
    if !wait_for_end(id, LIMIT) {
        let _ = send(id, Signal::SIGKILL);
        panic!("{command:?} did not end within {LIMIT:?}: {:?}", reader.join());
    }
    reader.join().expect("the thread that reads")
}

/// A child that does not outlive its test, also when the test fails.
#[derive(Debug)]
pub struct Guarded(Child);

impl From<Child> for Guarded {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Deref for Guarded {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Neither does anything to one that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `code` in a forked process and returns the number it gives (0 to 255): for what belongs to a process,
/// such as POSIX locks. The code must be system calls alone: it runs in a copy of one thread.
pub fn forked(code: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child only runs `code`, system calls by this function's contract, and leaves with _exit(2).
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let status = code();
            // SAFETY: ends the process at once, running nothing of the parent's.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).expect("waitpid") {
            WaitStatus::Exited(_, status) => status,
            other => panic!("the forked code ended with {other:?}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_pipe_holds_is_read_on_both_streams() {
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
        let out = output(Command::new("sh").args(["-c", script]));
        assert_eq!((out.stdout.len(), out.stderr.len()), (300_000, 300_000));
    }
}
