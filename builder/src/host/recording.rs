//! A fake machine: records the commands it is asked to run, and answers from a list.
use parking_lot::Mutex;

use super::HostError;
use super::run::{Answer, Run};

/// Records and answers.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    ran: Mutex<Vec<String>>,
    answers: Mutex<Vec<(&'static str, Answer)>>,
}

impl Recording {
    /// Answers the next command that begins with `start` so; what is not foreseen succeeds and says nothing.
    pub(crate) fn answers(self, start: &'static str, code: i32, stdout: &str) -> Self {
        let answer = Answer { code, stdout: stdout.to_owned(), stderr: String::new() };
        self.answers.lock().push((start, answer));
        self
    }

    /// The commands so far, in order, their words joined by blanks.
    pub(crate) fn ran(&self) -> Vec<String> {
        self.ran.lock().clone()
    }
}

impl Run for Recording {
    fn run(&self, words: &[&str]) -> Result<Answer, HostError> {
        let command = words.join(" ");
        let mut answers = self.answers.lock();
        let foreseen = answers.iter().position(|(start, _)| command.starts_with(start));
        self.ran.lock().push(command);
        Ok(match foreseen {
            Some(at) => answers.remove(at).1,
            None => Answer { code: 0, stdout: String::new(), stderr: String::new() },
        })
    }
}
