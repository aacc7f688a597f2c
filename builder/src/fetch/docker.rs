//! Base images of the docker daemon, by the `docker` client: `(from NAME)` is what `docker create NAME` takes.
//!
//! The client pulls what is missing and says so in the step's log. The image's tree is exported from a container
//! that is never started.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::environment::Environment;
use super::{FetchError, Request};
use crate::sandbox::Cancel;
use crate::transfer::unpack::{Kind, unpack};

const CLIENT: &str = "docker";
/// How often a client that was killed is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// One variable after the other, each ended by a null byte.
const VARIABLES: &str = r#"{{range .Config.Env}}{{print . "\x00"}}{{end}}"#;

/// Brings the image that docker knows by the request's name.
pub(super) fn fetch(request: &Request) -> Result<Environment, FetchError> {
    let docker = Docker { output: &request.output, cancel: &request.cancel };
    let name = &request.name;
    let created = docker.ask(&["create", "--"], name)?;
    let container = Container { id: OsString::from_vec(created.trim_ascii().to_vec()) };
    docker.export(&container.id, &request.rootfs)?;
    drop(container);
    variables(&docker.ask(&["image", "inspect", "--format", VARIABLES, "--"], name)?, name)
}

struct Docker<'a> {
    output: &'a OwnedFd,
    cancel: &'a Cancel,
}

/// A container that nothing runs in; removed when dropped.
struct Container {
    id: OsString,
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(CLIENT);
        command.args(["rm", "--"]).arg(&self.id);
        let removed = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !removed.as_ref().is_ok_and(ExitStatus::success) {
            tracing::warn!("docker's container {} stays: docker rm failed", self.id.to_string_lossy());
        }
    }
}

impl Docker<'_> {
    /// What the client answers.
    fn ask(&self, words: &[&str], last: &OsStr) -> Result<Vec<u8>, FetchError> {
        let (from, to) = std::io::pipe().map_err(|e| started(words, last, e))?;
        self.feed(words, last, to.into(), move || {
            let mut answer = Vec::new();
            File::from(OwnedFd::from(from)).read_to_end(&mut answer).map(|_| answer)
        })?
        .map_err(|e| started(words, last, e))
    }

    fn export(&self, container: &OsStr, rootfs: &Path) -> Result<(), FetchError> {
        let words = ["export", "--"];
        let (from, to) = std::io::pipe().map_err(|e| started(&words, container, e))?;
        let name = PathBuf::from("what docker export writes");
        Ok(self.feed(&words, container, to.into(), move || unpack(from, &name, rootfs, Kind::Tree))??)
    }

    /// Runs the client while `take` reads what it writes to `to`. If both fail, it is the client that is to
    /// blame.
    fn feed<T: Send>(
        &self,
        words: &[&str],
        last: &OsStr,
        to: OwnedFd,
        take: impl FnOnce() -> T + Send,
    ) -> Result<T, FetchError> {
        std::thread::scope(|scope| {
            let taking = scope.spawn(take);
            let ended = self.run(words, last, to);
            let taken = taking.join().map_err(|_| FetchError::Thread)?;
            ended.map(|()| taken)
        })
    }

    fn run(&self, words: &[&str], last: &OsStr, to: OwnedFd) -> Result<(), FetchError> {
        let output = self.output.try_clone().map_err(|e| started(words, last, e))?;
        let mut command = Command::new(CLIENT);
        command.args(words);
        if !last.is_empty() {
            command.arg(last);
        }
        command.stdin(Stdio::null()).stdout(to).stderr(output).process_group(0).kill_on_drop(true);
        Handle::current().block_on(async {
            let mut child = command.spawn().map_err(|e| started(words, last, e))?;
            // The pipe must end with the client.
            drop(command);
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    kill(&mut child);
                    Err(FetchError::Cancelled)
                }
                ended = child.wait() => match ended.map_err(|e| started(words, last, e))? {
                    status if status.success() => Ok(()),
                    status => Err(FetchError::Docker { argv: argv(words, last), status }),
                },
            }
        })
    }
}

/// Ends the client. The runtime, whose task was cancelled as well, may not be there any more to wait for it.
fn kill(child: &mut Child) {
    if child.start_kill().is_ok() {
        while let Ok(None) = child.try_wait() {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn started(words: &[&str], last: &OsStr, error: std::io::Error) -> FetchError {
    FetchError::NoDocker { argv: argv(words, last), error }
}

fn argv(words: &[&str], last: &OsStr) -> Vec<OsString> {
    let words = [CLIENT].iter().chain(words).map(OsString::from);
    words.chain((!last.is_empty()).then(|| last.to_owned())).collect()
}

/// Reads the answer to [`VARIABLES`].
fn variables(answer: &[u8], name: &OsStr) -> Result<Environment, FetchError> {
    let pairs = answer.split(|&b| b == 0).filter(|pair| !matches!(*pair, b"" | b"\n"));
    pairs
        .map(|pair| super::environment::from_assignment(pair).ok_or_else(|| bad_variable(pair, name)))
        .collect()
}

fn bad_variable(pair: &[u8], name: &OsStr) -> FetchError {
    FetchError::Variable { name: name.to_owned(), pair: OsStr::from_bytes(pair).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_pairs_that_may_hold_newlines_and_equals_signs() {
        let read = variables(b"PATH=/bin\0A=b=c\nd\0EMPTY=\0\n", OsStr::new("i")).unwrap();
        let pairs = [("PATH", "/bin"), ("A", "b=c\nd"), ("EMPTY", "")];
        assert_eq!(read, pairs.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(variables(b"\n", OsStr::new("i")).unwrap(), []);
        let error = variables(b"PATH\0\n", OsStr::new("i")).unwrap_err().to_string();
        assert_eq!(error, "Invalid environment in base image \"i\": \"PATH\" should be K=V");
    }
}
