//! The runtime's program, and the few commands of it that are used: `run` and `delete`.
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::SandboxError;
use super::process::HANDED;

/// Where system programs are that the caller's PATH may lack.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A runtime, and where it keeps its records.
#[derive(Debug, Clone)]
pub(super) struct Runtime {
    program: PathBuf,
    records: PathBuf,
}

impl Runtime {
    /// Finds `program`, which is a path or a name to be looked for.
    pub(super) fn find(program: &Path, state: &Path) -> Result<Self, SandboxError> {
        let found = if program.as_os_str().as_encoded_bytes().contains(&b'/') {
            program.is_file().then(|| program.to_owned())
        } else {
            search(program)
        };
        let program = found.ok_or_else(|| SandboxError::NoRuntime { program: program.to_owned() })?;
        Ok(Self { program, records: state.join("runtime") })
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The command that makes and runs the container `name` of the bundle `dir`, to its end.
    pub(super) fn run(&self, dir: &Path, name: &OsStr) -> Command {
        let mut command = self.command();
        command.args(["run", "--preserve-fds", &HANDED.to_string(), "--bundle"]).arg(dir).arg(name);
        command
    }

    /// Kills the container `name` and forgets it; it need not exist.
    pub(super) fn delete(&self, name: &OsStr) {
        if !self.records.join(name).exists() {
            return;
        }
        let mut command = self.command();
        command.args(["delete", "--force"]).arg(name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!("{command:?} failed: {status}"),
            Err(error) => tracing::warn!("{command:?}: {error}"),
        }
    }

    /// Nothing of the builder's environment is the runtime's business.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", SYSTEM_PATH).current_dir("/").arg("--root").arg(&self.records);
        command
    }
}

fn search(name: &Path) -> Option<PathBuf> {
    let own = env::var_os("PATH").unwrap_or_default();
    let paths: [OsString; 2] = [own, SYSTEM_PATH.into()];
    let dirs = paths.iter().flat_map(env::split_paths).filter(|dir| dir.is_absolute());
    dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
}
