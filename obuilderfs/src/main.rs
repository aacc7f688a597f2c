//! `obuilderfs SCOREBOARD MOUNTPOINT [FALLBACK]`: mounts by hand.
use std::process::ExitCode;

fn main() -> ExitCode {
    obuilderfs::cli::main(std::env::args_os())
}
