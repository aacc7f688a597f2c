//! The process outside a step's namespaces: makes them, and ends them when the builder goes.
#![allow(unsafe_code)]
use std::io::{Read, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use super::init;
use crate::sandbox::plan::{Plan, Report};

/// A plan, preceded by its length.
pub(super) fn framed(plan: &Plan) -> Vec<u8> {
    let plan = plan.encode();
    let mut framed = (plan.len() as u64).to_le_bytes().to_vec();
    framed.extend(plan);
    framed
}

/// The supervisor's whole life. Its exit code says nothing: the report does.
pub(super) fn main() -> ExitCode {
    keep_strangers_out();
    heed_all_signals();
    let Some(plan) = received() else { return ExitCode::FAILURE };
    let outcome = enter_namespaces().and_then(|()| start(&plan));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            send(&report);
            ExitCode::FAILURE
        }
    }
}

/// Writes the report to the builder. If that is gone, there is nobody to tell.
pub(super) fn send(report: &Report) {
    let mut out = stdout().lock();
    let _ = out.write_all(&report.encode()).and_then(|()| out.flush());
}

/// Whatever descriptors the builder was started with are not the step's business.
fn keep_strangers_out() {
    // SAFETY: changes only flags of this process's descriptors. It cannot fail but on a kernel without it
    // (before 5.11), where the builder's own descriptors are close-on-exec anyway.
    unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
}

/// A signal that is ignored stays ignored across exec, and a builder started in the background ignores some.
/// SIGCHLD, ignored, would even take the step's status away.
fn heed_all_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action calls no function of ours. Those that cannot be changed are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn received() -> Option<Plan> {
    let mut from = stdin().lock();
    let mut length = [0; 8];
    from.read_exact(&mut length).ok()?;
    let mut bytes = Vec::new();
    from.take(u64::from_le_bytes(length)).read_to_end(&mut bytes).ok()?;
    Plan::decode(&bytes)
}

fn enter_namespaces() -> Result<(), Report> {
    let all = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    unshare(all).map_err(|errno| not_started("make the step's namespaces", errno))
}

fn start(plan: &Plan) -> Result<(), Report> {
    let (alive, life) = std::io::pipe().map_err(|e| not_started("make a pipe", e))?;
    // SAFETY: this process has a single thread, so the child may do whatever the parent may.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(alive);
            let report = init::main(plan);
            send(&report);
            drop(life);
            std::process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => {
            drop(life);
            watch(child, alive.as_fd());
            Ok(())
        }
        Err(errno) => Err(not_started("make the step's init", errno)),
    }
}

/// Waits for the init. If the lifeline ends first, kills it, and with it all that is in its pid namespace;
/// either way it returns when the last of them is gone (pid_namespaces(7)).
fn watch(init: Pid, alive: std::os::fd::BorrowedFd<'_>) {
    let lifeline = stdin();
    loop {
        let mut wanted =
            [PollFd::new(lifeline.as_fd(), PollFlags::empty()), PollFd::new(alive, PollFlags::empty())];
        match poll(&mut wanted, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            _ => break,
        }
    }
    let [lifeline, alive] = [lifeline.as_fd(), alive].map(ended);
    if lifeline && !alive {
        let _ = kill(init, Signal::SIGKILL);
    }
    while waitpid(init, None) == Err(Errno::EINTR) {}
}

fn ended(pipe: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(pipe, PollFlags::empty())];
    poll(&mut asked, PollTimeout::ZERO).is_ok() && asked[0].revents().is_some_and(|r| !r.is_empty())
}

/// A report that the step was not started.
pub(super) fn not_started(what: impl Into<String>, reason: impl ToString) -> Report {
    Report::NotStarted { what: what.into(), reason: reason.to_string() }
}
