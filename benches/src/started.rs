//! What a command starts, as strace(1) sees it: this does not depend on the machine's speed.
use std::fs;
use std::path::Path;
use std::process::Command;

/// What was started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    pub(crate) processes: usize,
    pub(crate) threads: usize,
    pub(crate) programs: usize,
}

/// Runs `command` and counts; `None` if strace is missing or failed. `trace` is a file for what it writes.
pub(crate) fn count(command: &Command, trace: &Path) -> Option<Started> {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "trace=process", "-o"]).arg(trace).arg(command.get_program());
    traced.args(command.get_args());
    if !traced.output().is_ok_and(|out| out.status.success()) {
        return None;
    }
    let text = fs::read_to_string(trace).expect("trace");
    let made = |line: &&str| ["clone(", "clone3(", "fork(", "vfork("].iter().any(|call| line.contains(call));
    let calls: Vec<&str> = text.lines().filter(made).filter(|line| !line.contains("resumed")).collect();
    let threads = calls.iter().filter(|line| line.contains("CLONE_THREAD")).count();
    let programs = text.lines().filter(|line| line.contains("execve") && line.ends_with("= 0")).count();
    Some(Started { processes: calls.len() - threads, threads, programs })
}
