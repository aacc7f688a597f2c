//! The command line, shared by the `obuilderfs` binary and by `obuilder`, which starts it as a child.
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tracing::level_filters::LevelFilter;

use crate::options::Options;
use crate::session::{Lifeline, Mount};

/// Exit code for a wrong command line.
const USAGE: u8 = 2;
/// Exit code when the machine lacks something or the mount failed.
const ENVIRONMENT: u8 = 3;

/// Serves each user its own tree under one mount point.
///
/// The tree is `local` in the home that the scoreboard's link named by the user's uid points to. Users without
/// a link see the fallback.
#[derive(Debug, Parser)]
#[command(name = "obuilderfs", version)]
struct Arguments {
    /// Directory of links: <SCOREBOARD>/<uid> points to that user's home.
    scoreboard: PathBuf,
    /// Where to mount, such as /usr/local.
    mountpoint: PathBuf,
    /// What users without a link see [default: what the mount covers].
    fallback: Option<PathBuf>,
    /// Stay in the foreground and log to standard error.
    #[arg(short, long)]
    foreground: bool,
    /// Mount options, such as ro,noexec,threads=4.
    #[arg(short, value_name = "OPTIONS")]
    options: Vec<String>,
    /// Log more; twice for every request.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Write a byte here once mounted.
    #[arg(long, hide = true)]
    ready_fd: Option<RawFd>,
    /// End when this descriptor reaches its end.
    #[arg(long, hide = true)]
    lifeline_fd: Option<RawFd>,
    /// Leave the terminal once mounted; the process is the daemon.
    #[arg(long, hide = true)]
    daemon: bool,
}

/// Runs `obuilderfs` with `arguments` (the program's name first) and returns its exit code: 0 after a clean
/// unmount, 2 for a wrong command line, 3 if the mount could not be made.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let all: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&all) {
        Ok(parsed) => parsed,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { USAGE } else { 0 });
        }
    };
    let mut options = Options::default();
    for list in &parsed.options {
        if let Err(e) = options.add(list) {
            return fail(USAGE, &e);
        }
    }
    log_to_stderr(parsed.verbose);
    if !parsed.foreground && !parsed.daemon {
        return start_daemon(&all);
    }
    let fallback = parsed.fallback.clone().or_else(|| options.fallback.clone());
    let (scoreboard, mountpoint) = (parsed.scoreboard.clone(), parsed.mountpoint.clone());
    let lifeline = match parsed.lifeline() {
        Ok(lifeline) => lifeline,
        Err(e) => return fail(ENVIRONMENT, &e),
    };
    match (Mount { scoreboard, mountpoint, fallback, options }).serve(lifeline) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(ENVIRONMENT, &e),
    }
}

impl Arguments {
    fn lifeline(self) -> io::Result<Lifeline> {
        let ready = self.ready_fd.map(inherited).transpose()?;
        let until_eof = self.lifeline_fd.map(inherited).transpose()?;
        Ok(Lifeline { ready, until_eof, leave_terminal: self.daemon })
    }
}

/// Takes over a descriptor that the parent has left open for us, and keeps it from our own children.
#[allow(unsafe_code)]
fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= 2 {
        return Err(io::Error::other(format!("descriptor {fd} is a standard stream")));
    }
    // SAFETY: F_GETFD only asks whether the number is open; an unopened one is refused.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::other(format!("descriptor {fd} is not open")));
    }
    // SAFETY: it is open, and named on our command line for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "obuilderfs: {error}");
    ExitCode::from(code)
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // A second initialisation, by a program that embeds us, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

/// Starts ourselves again as the daemon and waits until it has mounted or failed; it says why itself.
fn start_daemon(arguments: &[OsString]) -> ExitCode {
    match crate::daemon::start(arguments) {
        Ok(mut ready) => {
            let mut byte = [0];
            if matches!(ready.read(&mut byte), Ok(1)) {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(ENVIRONMENT)
            }
        }
        Err(e) => fail(ENVIRONMENT, &io::Error::new(e.kind(), format!("the daemon cannot be started: {e}"))),
    }
}
