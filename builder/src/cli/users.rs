//! Who steps run as, and what they see: the options of every command that runs some as build users.
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CommandError;
use crate::host::{Host, SystemHost};
use crate::sandbox::pool::Uids;
use crate::sandbox::{UserConfig, UserSandbox, View, mount};

/// The build users.
#[derive(Args)]
pub(super) struct BuildUsers {
    /// The users that steps run as, one for each that runs at the same time on this machine; made if missing
    #[arg(long, value_name = "UID[-LAST]", default_value = "705-712")]
    uid: Uids,
    /// The directory that tells obuilderfs each user's home; in a shared one, as /tmp, one of its own is
    /// made [default: /run/obuilder]
    #[arg(long, value_name = "DIR")]
    scoreboard: Option<PathBuf>,
    /// What users without a home see at the prefix [default: what is there without obuilderfs]
    #[arg(long, value_name = "DIR")]
    fallback: Option<PathBuf>,
    /// The prefix: where each step sees a directory of its own
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    fuse_path: PathBuf,
    /// Do without obuilderfs: steps see the machine's own prefix
    #[arg(long)]
    no_fuse: bool,
}

impl BuildUsers {
    /// The sandbox. It makes users and mounts with the first step that runs.
    pub(super) fn sandbox(&self, state: &Path) -> Result<UserSandbox, CommandError> {
        let host = SystemHost::default();
        let executable = own_executable()?;
        let view = if self.no_fuse {
            View::Direct { prefix: None }
        } else {
            let prefix = self.fuse_path.clone();
            View::Obuilderfs { prefix, scoreboard: self.scoreboard(), fallback: self.fallback.clone() }
        };
        let home = host.build_home().to_owned();
        let config = UserConfig { uids: self.uid, view, state: state.to_owned(), home, executable };
        UserSandbox::new(config, Box::new(host)).map_err(|error| CommandError::environment(error.to_string()))
    }

    /// Does without an obuilderfs that was mounted by hand, which does not see what this process mounts.
    pub(super) fn see_own_mounts(&self) -> Result<(), CommandError> {
        if self.no_fuse {
            return Ok(());
        }
        Ok(mount::hide(&self.fuse_path)?)
    }

    fn scoreboard(&self) -> PathBuf {
        self.scoreboard.as_deref().map_or_else(usual_scoreboard, own_part)
    }
}

/// The scoreboard where no other is given.
pub(super) fn usual_scoreboard() -> PathBuf {
    // Not every system has a /run.
    let run = Path::new("/run");
    if run.is_dir() { run.join("obuilder") } else { PathBuf::from("/var/run/obuilder") }
}

/// A scoreboard that only root can write to: `dir`, or a directory in it where everybody may make files but
/// not rename those of others, as in `/tmp`. Whoever can write a scoreboard chooses what others see.
fn own_part(dir: &Path) -> PathBuf {
    let shared = dir.metadata().is_ok_and(|meta| meta.mode() & 0o1002 == 0o1002);
    if !shared {
        return dir.to_owned();
    }
    let own = dir.join("obuilder-scoreboard");
    tracing::info!("{} is everybody's, so the scoreboard is {}", dir.display(), own.display());
    own
}

/// This program's file: through `/proc`, where there is one, even when it was replaced meanwhile.
fn own_executable() -> Result<PathBuf, CommandError> {
    let link = Path::new("/proc/self/exe");
    if link.exists() {
        return Ok(link.to_owned());
    }
    std::env::current_exe()
        .map_err(|error| CommandError::environment(format!("cannot find the program's own file: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_scoreboard_in_a_shared_directory_is_a_directory_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, own) in [(0o755, false), (0o1755, false), (0o777, false), (0o1777, true)] {
            set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(own_part(dir.path()) != dir.path(), own, "{mode:o}");
        }
    }
}
