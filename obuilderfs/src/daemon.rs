//! Going into the background: the program starts itself again instead of forking, which a process with
//! threads must not do.
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Starts `arguments` (our own command line) as a daemon. Its standard error is ours until it has mounted.
/// The pipe returned gives a byte then, or its end if it failed.
///
/// # Errors
/// The program cannot be started again.
pub(crate) fn start(arguments: &[OsString]) -> io::Result<File> {
    let (ready, theirs) = nix::unistd::pipe()?;
    fcntl(&ready, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Command::new(std::env::current_exe()?)
        .arg("--daemon")
        .arg(format!("--ready-fd={}", theirs.as_raw_fd()))
        .args(arguments.iter().skip(1))
        .stdin(Stdio::null())
        .spawn()?;
    drop::<OwnedFd>(theirs);
    Ok(File::from(ready))
}

/// Leaves the terminal and the directory we were started in.
///
/// # Errors
/// As `dup2(2)` and `chdir(2)`.
pub(crate) fn leave_terminal() -> io::Result<()> {
    // Fails only for the leader of a process group, which the child of `start` is not unless a shell made it
    // one; then it has a group of its own, which is what matters.
    let _ = nix::unistd::setsid();
    std::env::set_current_dir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}
