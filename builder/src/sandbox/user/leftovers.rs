//! What a step must not leave behind, and guards that see to it, also when it fails or is cancelled.
use std::path::Path;

use obuilderfs::scoreboard::Scoreboard;

use super::users::lock_name;
use super::{SandboxError, Scratch};
use crate::host::lock::{Lock, Taken};
use crate::host::{Host, Process, names};

/// Clears away what builders that were killed left of their steps: scratch directories in `state`, named by uid,
/// and that uid's processes and link on the scoreboard. Whoever is using a uid has its lock.
pub(super) fn clear(host: &dyn Host, state: &Path, scoreboard: Option<&Path>) -> Result<(), SandboxError> {
    for uid in Scratch::uids_in(state)? {
        let Taken::Ours(_lock) = Lock::try_take(host.lock_dir(), &lock_name(uid))? else { continue };
        tracing::info!("removing what a killed build left of uid {uid}");
        let _scratch = Scratch::left_over(state, uid);
        Processes::of(host, uid)?.end()?;
        if let Some(scoreboard) = scoreboard.filter(|scoreboard| scoreboard.exists()) {
            Scoreboard::open(scoreboard)?.clear(uid)?;
        }
    }
    Ok(())
}

/// The processes of a build user. When dropped, all of them are killed.
pub(super) struct Processes<'a> {
    host: &'a dyn Host,
    uid: u32,
    ended: bool,
}

impl<'a> Processes<'a> {
    /// Kills those that are there already: a builder that was itself killed may have left some.
    pub(super) fn of(host: &'a dyn Host, uid: u32) -> Result<Self, SandboxError> {
        let before = host.kill_all(uid)?;
        if !before.is_empty() {
            tracing::warn!("killed processes of uid {uid} from before the step: {}", names(&before));
        }
        Ok(Self { host, uid, ended: false })
    }

    /// Kills them, and says which there were.
    pub(super) fn end(mut self) -> Result<Vec<Process>, SandboxError> {
        let killed = self.host.kill_all(self.uid)?;
        self.ended = true;
        Ok(killed)
    }
}

impl Drop for Processes<'_> {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.host.kill_all(self.uid)
        {
            tracing::error!("{error}");
        }
    }
}

/// A user's link on the scoreboard. When dropped, it is retracted.
pub(super) struct Published {
    scoreboard: Scoreboard,
    uid: u32,
}

impl Published {
    pub(super) fn new(scoreboard: Scoreboard, uid: u32, home: &Path) -> Result<Self, SandboxError> {
        scoreboard.publish(uid, home)?;
        Ok(Self { scoreboard, uid })
    }

    pub(super) fn scoreboard(&self) -> &Scoreboard {
        &self.scoreboard
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Err(error) = self.scoreboard.retract(self.uid) {
            tracing::warn!("{error}");
        }
    }
}
