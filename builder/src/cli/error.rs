//! How a command fails: one line that says what and why, a hint where there is one, and an exit code.
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::logging::Format;
use crate::engine::{self, BuildError};
use crate::fetch::FetchError;
use crate::spec::printer::quoted_text;

/// Why a command failed, for the person who gave it.
#[derive(Debug)]
pub(super) struct CommandError {
    kind: Kind,
    message: String,
    /// More lines about the place, as an excerpt of the spec.
    excerpt: Option<String>,
    hint: Option<String>,
}

/// What kind of failure it is: it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A step failed.
    Build,
    /// The command or the spec is wrong.
    Usage,
    /// The machine lacks something: a store, a permission, a device.
    Environment,
    /// What was looked at is not as it should be.
    Differs,
    /// It was stopped.
    Cancelled,
}

impl CommandError {
    /// What was given is wrong.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The machine is at fault.
    pub(super) fn environment(message: impl Into<String>) -> Self {
        Self::new(Kind::Environment, message)
    }

    /// What was run or looked at is not as it should be.
    pub(super) fn differs(message: impl Into<String>) -> Self {
        Self::new(Kind::Differs, message)
    }

    /// It was stopped on request.
    pub(super) fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "cancelled")
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), excerpt: None, hint: None }
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the lines that are at fault.
    pub(super) fn excerpt(mut self, excerpt: Option<String>) -> Self {
        self.excerpt = excerpt;
        self
    }

    /// 1 the build failed or something differs, 2 usage, 3 environment, 130 cancelled.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Build | Kind::Differs => 1,
            Kind::Usage => 2,
            Kind::Environment => 3,
            Kind::Cancelled => 130,
        })
    }

    /// Tells it on standard error.
    pub(super) fn report(&self, format: Format) {
        match format {
            Format::Json => {
                tracing::error!(kind = ?self.kind, hint = self.hint.as_deref(), "{}", self.message);
            }
            Format::Text => {
                // Nobody is left to tell when this fails.
                let _ = io::stderr().write_all(self.text().as_bytes());
            }
        }
    }

    /// What is told: a line each for the failure and the hint, and the place between them.
    pub(super) fn text(&self) -> String {
        let mut text = match self.kind {
            Kind::Build => format!("Build step failed: {}\n", self.message),
            _ => format!("obuilder: {}\n", self.message),
        };
        for more in [self.excerpt.clone(), self.hint.as_ref().map(|hint| format!("hint: {hint}"))] {
            text.extend(more.map(|more| more + "\n"));
        }
        text
    }
}

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        let kind = match error.kind() {
            engine::Kind::Build => Kind::Build,
            engine::Kind::Machine => Kind::Environment,
            engine::Kind::Cancelled => Kind::Cancelled,
        };
        Self::new(kind, told(&error))
    }
}

/// As OBuilder tells it. Two failures it leaves to its language to print.
fn told(error: &BuildError) -> String {
    match error {
        BuildError::Shared(error) => told(error),
        BuildError::Network(_) | BuildError::Fetch(FetchError::Docker { .. }) => {
            format!("Failure({})", quoted_text(error.to_string().as_bytes()))
        }
        _ => error.to_string(),
    }
}

/// Answers a command line that is not one, or that asks for help.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let told = CommandError::usage(first_paragraph(&error.to_string())).hint(usage_hint(error));
    told.report(Format::Text);
    told.exit_code()
}

/// The message itself, without `error:`, on one line.
fn first_paragraph(rendered: &str) -> String {
    let paragraph = rendered.split("\n\n").next().unwrap_or(rendered);
    let words: Vec<&str> = paragraph.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

fn usage_hint(error: &clap::Error) -> String {
    let suggested =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let word = suggested.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(word) => Some(word.clone()),
        ContextValue::Strings(words) => words.first().cloned(),
        _ => None,
    });
    match word {
        Some(word) => format!("did you mean {word}?"),
        None => "--help shows what it takes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_then_the_place_then_the_hint() {
        let error = CommandError::usage("s: line 1: bad").excerpt(Some("1 | x\n    ^".into())).hint("do y");
        assert_eq!(error.text(), "obuilder: s: line 1: bad\n1 | x\n    ^\nhint: do y\n");
    }

    #[test]
    fn a_failed_step_is_told_as_the_original_does() {
        let argv = ["/bin/sh", "-c", "echo \"x\"; exit 3"].map(Into::into).to_vec();
        let status = crate::sandbox::Status::Exited(3);
        let error = CommandError::from(BuildError::Failed { argv, status });
        let told =
            "Build step failed: \"/bin/sh\" \"-c\" \"echo \\\"x\\\"; exit 3\" failed with exit status 3\n";
        assert_eq!(error.text(), told);
    }
}
