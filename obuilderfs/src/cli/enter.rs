//! `obuilderfs enter MOUNTPOINT [--uid=N] -- COMMAND…`: runs a command in a private view.
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::{ENVIRONMENT, USAGE, fail};
use crate::platform::{self, Entering};

/// Runs a command as a user in a private view of its tree: its home and the mount point are the same
/// directories of one file system, and no other user is in sight.
#[derive(Debug, Parser)]
#[command(name = "obuilderfs enter", bin_name = "obuilderfs enter")]
pub(super) struct Enter {
    /// The mount point.
    mountpoint: PathBuf,
    /// Whose view, and as whom the command runs [default: who called sudo].
    #[arg(long)]
    uid: Option<u32>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
#[error("as whom? give --uid=N, or run it with sudo")]
struct NoUid;

impl Enter {
    pub(super) fn run(self) -> ExitCode {
        let caller = || std::env::var("SUDO_UID").ok()?.parse().ok();
        let Some(uid) = self.uid.or_else(caller) else { return fail(USAGE, &NoUid) };
        let entering = Entering { mountpoint: self.mountpoint, uid, command: self.command };
        match platform::enter(&entering) {
            Ok(code) => ExitCode::from(code),
            Err(e) => fail(ENVIRONMENT, &e),
        }
    }
}
