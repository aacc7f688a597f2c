//! Runs the system's commands. A trait, so that tests can answer in their place.
use std::process::{Command, Stdio};

use super::HostError;

/// How a command ended and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Exit code; 128 + n after signal n, as a shell has it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Something that runs commands.
pub trait Run: Send + Sync {
    /// Runs `words` to the end, with no input.
    ///
    /// # Errors
    /// The command cannot be started.
    fn run(&self, words: &[&str]) -> Result<Answer, HostError>;

    /// As [`Run::run`], but a code other than 0 is an error too. Returns stdout.
    ///
    /// # Errors
    /// The command cannot be started, or failed.
    fn must(&self, words: &[&str]) -> Result<String, HostError> {
        let answer = self.run(words)?;
        if answer.code == 0 {
            return Ok(answer.stdout);
        }
        let said = if answer.stderr.trim().is_empty() { &answer.stdout } else { &answer.stderr };
        Err(HostError::Failed {
            command: words.join(" "),
            status: format!("exit status {}", answer.code),
            message: said.trim().replace('\n', "; "),
        })
    }
}

/// Where the system's own commands are; the caller's PATH may lack `sbin`.
const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs them on this machine.
#[derive(Debug, Default)]
pub struct SystemRun;

impl Run for SystemRun {
    fn run(&self, words: &[&str]) -> Result<Answer, HostError> {
        use std::os::unix::process::ExitStatusExt;

        let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
        let output = Command::new(program)
            .args(arguments)
            .env("PATH", SYSTEM_PATH)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| HostError::Start { command: words.join(" "), source })?;
        let code = output.status.code().or(output.status.signal().map(|n| 128 + n)).unwrap_or(-1);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Answer { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_status_and_its_words() {
        let error = SystemRun.must(&["sh", "-c", "echo no >&2; echo way >&2; exit 7"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "sh -c echo no >&2; echo way >&2; exit 7 failed (exit status 7): no; way"
        );
        let error = SystemRun.must(&["obuilder-no-such-command"]).unwrap_err();
        assert!(error.to_string().starts_with("cannot run obuilder-no-such-command: "), "{error}");
        assert_eq!(SystemRun.run(&["sh", "-c", "kill -9 $$"]).unwrap().code, 137);
    }
}
