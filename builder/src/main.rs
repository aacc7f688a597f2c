//! The `obuilder` program.
use std::process::ExitCode;

fn main() -> ExitCode {
    match obuilder::sandbox::reexec() {
        Some(code) => code,
        None => obuilder::cli::main(std::env::args_os()),
    }
}
