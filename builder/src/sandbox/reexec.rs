//! One executable for all: the builder starts itself under other names.
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use super::{mount, platform};

/// Runs this process as what its own name (`argv[0]`) says, if that is not the builder's. To be called first
/// thing in `main`, before any thread is started.
pub fn reexec() -> Option<ExitCode> {
    let started_as = std::env::args_os().next()?;
    let name = Path::new(&started_as).file_name().unwrap_or(OsStr::new(""));
    if name == mount::NAME {
        return Some(obuilderfs::cli::main(std::env::args_os()));
    }
    platform::step_main(name)
}
