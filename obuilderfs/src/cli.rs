//! The command line, shared by the `obuilderfs` binary and by `obuilder`, which starts it as a child.
mod enter;
mod helper;
mod status;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tracing::level_filters::LevelFilter;

use self::enter::Enter;
use self::status::Status;
use crate::options::Options;
use crate::session::{Lifeline, Map, Mount, remount};

/// The directory of a home that the main mount point shows.
const LOCAL: &str = "local";
/// Exit code for a wrong command line.
const USAGE: u8 = 2;
/// Exit code when the machine lacks something or the mount failed.
const ENVIRONMENT: u8 = 3;

/// Serves each user its own tree under one mount point.
///
/// The tree is `local` in the home that the scoreboard's link named by the user's uid points to. Users without
/// a link see the fallback.
///
/// `obuilderfs status MOUNTPOINT` shows what a mount is doing; `obuilderfs enter MOUNTPOINT -- COMMAND` runs a
/// command in a private view. Both have a --help.
#[derive(Debug, Parser)]
#[command(name = "obuilderfs", version)]
struct Arguments {
    /// Directory of links: <SCOREBOARD>/<uid> points to that user's home.
    scoreboard: PathBuf,
    /// Where to mount, such as /usr/local.
    mountpoint: PathBuf,
    /// What users without a link see [default: what the mount covers].
    fallback: Option<PathBuf>,
    /// Mount this too: a directory of each home, or `.` for the home itself, in the same process.
    #[arg(long, value_name = "MOUNTPOINT=SUBDIRECTORY", value_parser = parse_map)]
    map: Vec<Map>,
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
    if helper::is_meant(all.first()) {
        return helper::run(&all);
    }
    // A scoreboard of that name can still be given as ./status.
    match all.get(1).and_then(|word| word.to_str()) {
        Some("status") => return parsed(&all[1..], |status: Status| status.run()),
        Some("enter") => return parsed(&all[1..], Enter::run),
        _ => {}
    }
    parsed(&all, |arguments: Arguments| serve(arguments, &all))
}

fn serve(parsed: Arguments, all: &[OsString]) -> ExitCode {
    let mut options = Options::default();
    for list in &parsed.options {
        if let Err(e) = options.add(list) {
            return fail(USAGE, &e);
        }
    }
    log_to_stderr(parsed.verbose);
    if options.remount {
        return remount(&parsed.mountpoint, &options)
            .map_or_else(|e| fail(ENVIRONMENT, &e), |()| ExitCode::SUCCESS);
    }
    if !parsed.foreground && !parsed.daemon {
        return start_daemon(all, ENVIRONMENT);
    }
    let fallback = parsed.fallback.clone().or_else(|| options.fallback.clone());
    let scoreboard = parsed.scoreboard.clone();
    let main = Map { mountpoint: parsed.mountpoint.clone(), subdirectory: Some(LOCAL.to_owned()) };
    let maps = std::iter::once(main).chain(parsed.map.iter().cloned()).collect();
    let lifeline = match parsed.lifeline() {
        Ok(lifeline) => lifeline,
        Err(e) => return fail(ENVIRONMENT, &e),
    };
    match (Mount { scoreboard, maps, fallback, options }).serve(lifeline) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(ENVIRONMENT, &e),
    }
}

/// `MOUNTPOINT=SUBDIRECTORY`.
fn parse_map(text: &str) -> Result<Map, String> {
    let (mountpoint, subdirectory) =
        text.rsplit_once('=').ok_or("expected MOUNTPOINT=SUBDIRECTORY, such as /home/build=.")?;
    let subdirectory = match subdirectory {
        "." => None,
        name if name.is_empty() || name == ".." || name.contains('/') => {
            return Err(format!("'{name}' is not a name in the home; give one, or . for the home itself"));
        }
        name => Some(name.to_owned()),
    };
    Ok(Map { mountpoint: PathBuf::from(mountpoint), subdirectory })
}

/// Parses the words of a command and runs it.
fn parsed<C: Parser>(words: &[OsString], run: impl FnOnce(C) -> ExitCode) -> ExitCode {
    match C::try_parse_from(words) {
        Ok(command) => run(command),
        Err(e) => {
            let _ = e.print();
            ExitCode::from(if e.use_stderr() { USAGE } else { 0 })
        }
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

/// Starts ourselves again as the daemon and waits until it has mounted or failed; it says why itself. `failed` is
/// the exit code then.
fn start_daemon(arguments: &[OsString], failed: u8) -> ExitCode {
    match crate::daemon::start(arguments) {
        Ok(mut ready) => {
            let mut byte = [0];
            if matches!(ready.read(&mut byte), Ok(1)) { ExitCode::SUCCESS } else { ExitCode::from(failed) }
        }
        Err(e) => fail(failed, &io::Error::new(e.kind(), format!("the daemon cannot be started: {e}"))),
    }
}
