//! obuilder
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = obuilder::sandbox::reexec() {
        return code;
    }
    ExitCode::SUCCESS
}
