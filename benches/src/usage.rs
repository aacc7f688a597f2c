//! What a command costs, with everything it started and waited for.
#![allow(unsafe_code)]
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The cost of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Time passed.
    pub(crate) wall: Duration,
    /// Processor time of it and of all its descendants that were waited for, user and system.
    pub(crate) cpu: Duration,
}

/// Runs `command` to its end without input, its output thrown away; it must succeed.
#[allow(clippy::zombie_processes, reason = "wait4 below waits for it")]
pub(crate) fn measure(command: &mut Command) -> Usage {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let id = i32::try_from(child.id()).expect("process id");
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live memory of the right type; the child is ours and not waited for elsewhere.
    let ended = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
    let wall = start.elapsed();
    assert!(ended == id, "wait4: {}", std::io::Error::last_os_error());
    assert!(status == 0, "{command:?} ended with status {status:#x}");
    // SAFETY: wait4 succeeded and has filled it in; before that it was zeroed, which is valid too.
    let usage = unsafe { usage.assume_init() };
    Usage { wall, cpu: duration(usage.ru_utime) + duration(usage.ru_stime) }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default())
}
