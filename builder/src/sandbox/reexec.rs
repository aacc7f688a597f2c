//! One executable for all: the builder starts itself under other names.
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use super::platform;

/// Runs this process as what its own name (`argv[0]`) says, if that is not the builder's. To be called first
/// thing in `main`, before any thread is started.
pub fn reexec() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    platform::step_main(Path::new(&name).file_name().unwrap_or(OsStr::new("")))
}
