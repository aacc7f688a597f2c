//! Process 1 of a step's pid namespace.
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, setgroups, setsid};

use super::mounts;
use super::supervisor::not_started;
use crate::sandbox::plan::{Plan, Report};
use crate::sandbox::{Status, login};

/// Runs the step. When this returns, the init is the only process of its namespace.
pub(super) fn main(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|report| report)
}

fn run(plan: &Plan) -> Result<Report, Report> {
    shut_in(plan)?;
    let secrets = mounts::build(plan)?;
    // Only now: a change of the effective uid, as the mounts need, takes it back (PR_SET_PDEATHSIG(2const)).
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| not_started("tie the step to its supervisor", e))?;
    let step = spawn(plan)?;
    let status = wait_for(step)?;
    let left = names_of_the_living();
    kill_the_rest();
    secrets.remove()?;
    Ok(Report::Ended { status, left })
}

/// A new session has no terminal, so a step cannot type into the one that the builder was started from. And
/// without new privileges a step can never become anybody else (sudo, set-uid programs): whatever it starts
/// stays the build user's.
fn shut_in(plan: &Plan) -> Result<(), Report> {
    let failed = |errno: Errno| not_started("shut the step in", errno);
    setsid().map_err(failed)?;
    umask(Mode::from_bits_truncate(0o022));
    prctl::set_no_new_privs().map_err(failed)?;
    setgroups(&[Gid::from_raw(plan.gid)]).map_err(failed)
}

/// The child drops to the user between fork and exec, and only then changes to the home.
fn spawn(plan: &Plan) -> Result<Pid, Report> {
    let failed = |e: std::io::Error| not_started(format!("start {}", plan.shell.display()), e);
    let output = || std::io::stderr().as_fd().try_clone_to_owned().map(Stdio::from).map_err(failed);
    let child = Command::new(&plan.shell)
        .args(["-l", "-c", login::SCRIPT])
        .args(&plan.arguments)
        .env_clear()
        .envs(plan.env.iter().map(|(key, value)| (key, value)))
        .uid(plan.uid)
        .gid(plan.gid)
        .process_group(0)
        .current_dir(&plan.home)
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
        .map_err(failed)?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

/// Waits for the step, and for every orphan that ends before it, as process 1 must.
fn wait_for(step: Pid) -> Result<Status, Report> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == step => return Ok(Status::Exited(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == step => {
                return Ok(Status::Signalled(signal as i32));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(not_started("wait for the step", errno)),
        }
    }
}

/// The processes, other than this one, that have not ended: `/proc` shows this namespace alone.
fn names_of_the_living() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != 1).filter_map(name_if_alive).collect()
}

fn name_if_alive(pid: i32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    (!field("State:")?.starts_with(['Z', 'X'])).then(|| field("Name:").unwrap_or_default().to_owned())
}

/// kill(2): a process 1 reaches all of its namespace, and itself not.
fn kill_the_rest() {
    while kill(Pid::from_raw(-1), Signal::SIGKILL).is_ok() {
        while matches!(waitpid(None, None), Ok(_) | Err(Errno::EINTR)) {}
    }
}
