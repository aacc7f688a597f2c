//! Words that are too long for the system, told before it says so in words that help nobody.
use super::{Command, SandboxError, platform};

/// Checks that each word and each variable of `command` is one that the system takes.
pub(super) fn check(command: &Command) -> Result<(), SandboxError> {
    let Some(longest) = platform::LONGEST_WORD else { return Ok(()) };
    let unless_short = |what: String, bytes: usize, remedy: &str| {
        if bytes <= longest {
            return Ok(());
        }
        let reason = format!("{bytes} bytes are more than the {longest} that the system takes; {remedy}");
        Err(SandboxError::Unusable { what, reason })
    };
    for word in &command.argv {
        unless_short("the step's command".to_owned(), word.len(), "make it a file, and (copy …) that")?;
    }
    for (name, value) in &command.env {
        let what = format!("the variable {}", name.to_string_lossy());
        // Between them stands a '='.
        unless_short(what, name.len() + 1 + value.len(), "put it in a file")?;
    }
    Ok(())
}
