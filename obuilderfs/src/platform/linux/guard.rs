//! The guard: a process that outlives a killed daemon for a moment, to give everybody who waits for it an error.
//!
//! A thread of the daemon that tells the kernel something may wait, uninterruptibly, for the lock of a directory
//! whose holder waits for the daemon. Killed in that moment, the thread cannot end; with it `/dev/fuse` stays
//! open, the kernel goes on waiting for answers, and so does every user, until somebody says `umount -f`. The
//! guard is told by the kernel when the daemon's main thread dies, which nothing keeps from dying, and aborts
//! the connections. The mounts stay, as dead ones: what they cover must not come to light unasked.
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use parking_lot::Mutex;

use super::connection::open_abort;

/// As it is called in lists of processes. Not the daemon's name, by which it is told to end or killed.
const NAME: &std::ffi::CStr = c"obfs-guard";
/// What the kernel sends it when the daemon's main thread dies.
const DEATH: i32 = libc::SIGUSR1;

/// The guard of this process's mounts.
#[derive(Debug)]
pub(crate) struct Guard {
    process: Mutex<Option<Pid>>,
    aborts: Vec<OwnedFd>,
}

impl Guard {
    /// Watches over this thread, which must be the only one and stay until the mounts are gone. A mount that is
    /// gone already is left out.
    ///
    /// # Errors
    /// The kernel does not offer what it takes (Linux 5.9, and fusectl), or no process can be started.
    pub(crate) fn watch(mountpoints: &[PathBuf]) -> io::Result<Self> {
        let there = mountpoints.iter().filter_map(|point| open_abort(point).transpose());
        let aborts = there.collect::<io::Result<Vec<_>>>()?;
        let (ready, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let daemon = nix::unistd::getpid();
        let arguments = arguments();
        // SAFETY: there is no other thread, and the child makes system calls only until it ends.
        let child = match unsafe { fork() }? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => watch(&aborts, &theirs, daemon, arguments),
        };
        drop(theirs);
        let guard = Self { process: Mutex::new(Some(child)), aborts };
        // From here on no other thread can be there before the kernel knows whom to tell.
        match nix::unistd::read(&ready, &mut [0]) {
            Ok(1) => Ok(guard),
            _ => {
                guard.end();
                Err(io::Error::other("it ended at once"))
            }
        }
    }

    /// Does the guard's work, in case somebody still waits for an answer, and ends it.
    pub(crate) fn dismiss(&self) {
        abort(&self.aborts);
        self.end();
    }

    fn end(&self) {
        if let Some(process) = self.process.lock().take() {
            let _ = kill(process, Signal::SIGKILL);
            let _ = waitpid(process, None);
        }
    }
}

fn abort(aborts: &[OwnedFd]) {
    for abort in aborts {
        let _ = nix::unistd::write(abort, b"1");
    }
}

/// The life of the guard.
fn watch(aborts: &[OwnedFd], ready: &OwnedFd, daemon: Pid, arguments: Option<(usize, usize)>) -> ! {
    let prepared = keep_only(aborts, ready).and_then(|()| stand_aside(arguments));
    if prepared.is_ok() && nix::unistd::write(ready, &[1]) == Ok(1) {
        // SAFETY: the descriptor is not used again in this process.
        unsafe { libc::close(ready.as_raw_fd()) };
        await_death(daemon);
        abort(aborts);
    }
    // SAFETY: ends this process, running nothing of the daemon's.
    unsafe { libc::_exit(0) }
}

/// Closes every other descriptor: above all `/dev/fuse`, which must not stay open with us, and homes and streams,
/// which others wait for.
fn keep_only(aborts: &[OwnedFd], ready: &OwnedFd) -> Result<(), Errno> {
    let mut from = 0;
    loop {
        let kept = aborts.iter().chain([ready]).map(AsRawFd::as_raw_fd).filter(|&fd| fd >= from).min();
        let until = kept.map_or(u32::MAX, i32::cast_unsigned);
        if until > from.cast_unsigned() {
            // SAFETY: none of these descriptors is used again in this process.
            Errno::result(unsafe { libc::syscall(libc::SYS_close_range, from, until - 1, 0) })?;
        }
        match kept {
            Some(fd) => from = fd + 1,
            None => return Ok(()),
        }
    }
}

/// Keeps no directory, hears no signal of the terminal or of who ends the daemon, has no right it does not need,
/// and has a name of its own.
fn stand_aside(arguments: Option<(usize, usize)>) -> Result<(), Errno> {
    nix::unistd::setsid()?;
    nix::unistd::chdir(c"/")?;
    nix::sys::signal::SigSet::all().thread_block()?;
    super::identity::drop_capabilities()?;
    // SAFETY: both calls take integers and a constant string.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        Errno::result(libc::prctl(libc::PR_SET_PDEATHSIG, DEATH))?;
    }
    if let Some((from, to)) = arguments {
        let name = NAME.to_bytes_with_nul();
        let length = name.len().min(to - from);
        // SAFETY: the kernel named this range as the arguments of this process, a part of the stack that nobody
        // else in this process looks at any more.
        unsafe {
            let shown = std::ptr::with_exposed_provenance_mut::<u8>(from);
            std::ptr::write_bytes(shown, 0, to - from);
            std::ptr::copy_nonoverlapping(name.as_ptr(), shown, length - 1);
        }
    }
    Ok(())
}

/// Waits for the signal that the kernel sends in the daemon's name.
fn await_death(daemon: Pid) {
    let mut wanted = nix::sys::signal::SigSet::empty();
    wanted.add(Signal::SIGUSR1);
    // It may have died before the kernel was asked to tell; then we have another parent.
    while nix::unistd::getppid() == daemon {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: both are live for the call, which fills `info`; all zeroes are a valid one.
        let (heard, from) = unsafe {
            let heard = libc::sigwaitinfo(wanted.as_ref(), info.as_mut_ptr());
            (heard, info.assume_init().si_pid())
        };
        if heard == DEATH && from == daemon.as_raw() {
            return;
        }
    }
}

/// Where the kernel shows this process's arguments from: `arg_start` and `arg_end`, proc_pid_stat(5).
fn arguments() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(48 - 3);
    let (from, to) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (from != 0 && from < to).then_some((from, to))
}
