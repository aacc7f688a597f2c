//! `obuilderfs status MOUNTPOINT`: what a mount is doing.
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nix::errno::Errno;
use serde_json::Value;

use super::{ENVIRONMENT, fail};
use crate::answering::{self, Answer};
use crate::fs::{CONTROL_NAME, STATUS};
use crate::platform;
use crate::session::Silent;

/// Shows what a mount is doing: views, users, nodes, requests and how long they take.
#[derive(Debug, Parser)]
#[command(name = "obuilderfs status", bin_name = "obuilderfs status")]
pub(super) struct Status {
    /// The mount point.
    mountpoint: PathBuf,
    /// For programs: one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("{}: {}", path.display(), source.desc())]
    Read { path: PathBuf, source: Errno },
    #[error("{}: no obuilderfs is mounted there", .0.display())]
    NotMounted(PathBuf),
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error("only root may see what a mount is doing; use sudo")]
    NotRoot,
    #[error("it cannot be asked: {0}")]
    Ask(io::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl Status {
    pub(super) fn run(&self) -> ExitCode {
        match self.show() {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(ENVIRONMENT, &e),
        }
    }

    fn show(&self) -> Result<(), StatusError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(StatusError::NotRoot);
        }
        if answering::ask(&self.mountpoint).map_err(StatusError::Ask)? == Answer::None {
            return Err(Silent(self.mountpoint.clone()).into());
        }
        let answer = self.ask()?;
        let mut out = io::stdout().lock();
        if self.json {
            out.write_all(&answer)?;
            return Ok(writeln!(out)?);
        }
        Ok(print(&mut out, &serde_json::from_slice(&answer)?)?)
    }

    fn ask(&self) -> Result<Vec<u8>, StatusError> {
        let path = self.mountpoint.join(CONTROL_NAME);
        let error = |source| StatusError::Read { path: path.clone(), source };
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY;
        let control = nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty()).map_err(|e| match e {
            Errno::ENOENT => StatusError::NotMounted(self.mountpoint.clone()),
            e => error(e),
        })?;
        platform::get_xattr(control.as_fd(), STATUS.as_ref()).map_err(|e| match e {
            Errno::ENODATA | Errno::EOPNOTSUPP => StatusError::NotMounted(self.mountpoint.clone()),
            e => error(e),
        })
    }
}

fn print(out: &mut impl Write, status: &Value) -> io::Result<()> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for field in ["version", "pid", "seconds", "scoreboard", "nodes", "open_files", "open_directories"] {
        writeln!(out, "{:<18}{}", field.replace('_', " "), text(&status[field]))?;
    }
    writeln!(out, "\n{:>10}  {:<8} {:<10} tree", "uid", "view", "shows")?;
    for view in status["views"].as_array().into_iter().flatten() {
        let uid = view["uid"].as_u64().map_or_else(|| "others".to_owned(), |uid| uid.to_string());
        let kind = if view["private"] == true { "private" } else { "shared" };
        writeln!(out, "{uid:>10}  {kind:<8} {:<10} {}", text(&view["shows"]), text(&view["path"]))?;
    }
    if let Some(omitted @ 1..) = status["views_omitted"].as_u64() {
        writeln!(out, "and {omitted} older ones")?;
    }
    writeln!(out, "\n{:<18}{:>12}{:>12}{:>14}", "request", "count", "mean µs", "longest µs")?;
    for request in status["requests"].as_array().into_iter().flatten() {
        let us = |field: &str| request[field].as_f64().unwrap_or(0.0) / 1000.0;
        writeln!(
            out,
            "{:<18}{:>12}{:>12.1}{:>14.1}",
            text(&request["kind"]),
            text(&request["count"]),
            us("mean_ns"),
            us("longest_ns")
        )?;
    }
    Ok(())
}
