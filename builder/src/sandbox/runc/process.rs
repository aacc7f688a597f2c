//! A container that runs.
//!
//! Runtimes copy the standard streams through pipes of their own, which would cost time and order. So the init
//! has three descriptors more: the program it is itself, a socket to the builder, and the step's output.
#![allow(unsafe_code)]
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::fchown;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::bundle::Bundle;
use super::runtime::Runtime;
use super::{SandboxError, Status, init, prepare};

/// How long a container whose init was told to end may take for it before it is killed from outside.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked after meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The first descriptor after the standard streams.
const FIRST: RawFd = 3;
/// How many the init has more.
pub(super) const HANDED: usize = 3;

/// A container that runs. Dropping it kills whatever is left of it, and returns when that is gone.
pub(super) struct Process {
    runtime: Runtime,
    name: std::ffi::OsString,
    child: Child,
    life: Option<UnixStream>,
}

impl Process {
    /// Starts the container of `bundle`; `output` is closed here when this returns.
    pub(super) fn start(
        runtime: Runtime,
        bundle: &Bundle,
        user: (u32, u32),
        output: OwnedFd,
    ) -> Result<Self, SandboxError> {
        let failed = |e: io::Error| prepare(format!("start {} for the step", runtime.program().display()), e);
        let (life, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        life.set_nonblocking(true).map_err(failed)?;
        let life = UnixStream::from_std(life).map_err(failed)?;
        // The step may open its output by name, as /dev/stderr.
        fchown(&output, Some(user.0), Some(user.1)).map_err(failed)?;
        let mut command = runtime.run(bundle.dir(), bundle.name());
        // Ctrl-C at the terminal is for the builder, which then stops the step in order.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(output.try_clone().map_err(failed)?);
        let handed = [init::program().map_err(failed)?, theirs.into(), output];
        hand_on(&mut command, handed).map_err(failed)?;
        let child = command.spawn().map_err(failed)?;
        Ok(Self { name: bundle.name().to_owned(), child, life: Some(life), runtime })
    }

    /// Waits for it to end. When this returns the step's processes are gone, and the runtime is.
    pub(super) async fn wait(&mut self) -> Result<Status, SandboxError> {
        let mut report = Vec::new();
        if let Some(life) = &mut self.life {
            // The runtime holds the other end too, so this ends when both it and the init have.
            let _ = life.read_to_end(&mut report).await;
        }
        self.life = None;
        let ended = self.child.wait().map_err(|e| prepare(format!("wait for {}", self.shown()), e))?;
        if ended.signal().is_some() {
            // Whoever killed it, it could not clear up.
            self.runtime.delete(&self.name);
        }
        read_report(&report).ok_or_else(|| self.no_report(ended))
    }

    fn no_report(&self, ended: ExitStatus) -> SandboxError {
        SandboxError::Runtime { runtime: self.shown(), status: ended.to_string() }
    }

    fn shown(&self) -> String {
        self.runtime.program().display().to_string()
    }

    /// Waits for the runtime to end by itself.
    fn ended_in_time(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(None) if begun.elapsed() < PATIENCE => thread::sleep(LOOK_AGAIN),
                Ok(None) => return false,
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The init takes the end of the socket as its own, and the runtime goes with it.
        if let Some(life) = self.life.take() {
            let _ = life.into_std().and_then(|life| life.shutdown(Shutdown::Both));
        }
        if !self.ended_in_time() {
            tracing::warn!("{} does not end; it is killed", self.shown());
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.runtime.delete(&self.name);
        }
    }
}

/// Has `command` start with `fds` as the descriptors from [`FIRST`] on.
fn hand_on(command: &mut Command, fds: [OwnedFd; HANDED]) -> io::Result<()> {
    // Above the numbers they are to have, so that none takes another's place.
    let above = |fd: &OwnedFd| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST + HANDED as RawFd));
    let high = fds.iter().map(above).collect::<nix::Result<Vec<_>>>()?;
    // SAFETY: each was made just now and belongs to nobody else.
    let high: Vec<_> = high.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    // SAFETY: between fork and exec only dup2(2) is called, which is async-signal-safe, and nothing allocated.
    unsafe {
        command.pre_exec(move || {
            for (wanted, fd) in (FIRST..).zip(&high) {
                if libc::dup2(fd.as_raw_fd(), wanted) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    Ok(())
}

/// What the init wrote: the raw wait status of the step.
fn read_report(bytes: &[u8]) -> Option<Status> {
    let raw = i32::from_le_bytes(bytes.try_into().ok()?);
    match WaitStatus::from_raw(Pid::from_raw(1), raw).ok()? {
        WaitStatus::Exited(_, code) => Some(Status::Exited(code)),
        WaitStatus::Signaled(_, signal, _) => Some(Status::Signalled(signal as i32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inits_report_is_a_wait_status() {
        assert_eq!(read_report(&(3i32 << 8).to_le_bytes()), Some(Status::Exited(3)));
        assert_eq!(read_report(&9i32.to_le_bytes()), Some(Status::Signalled(9)));
        assert_eq!(read_report(&(0x80 | 11i32).to_le_bytes()), Some(Status::Signalled(11)));
        for not_whole in [&b""[..], b"\0", b"\0\0\0\0\0"] {
            assert_eq!(read_report(not_whole), None);
        }
    }
}
