//! What a step must not leave behind, and guards that see to it, also when it fails or is cancelled.
use std::path::{Path, PathBuf};

use obuilderfs::scoreboard::Scoreboard;

use super::users::lock_name;
use super::{SandboxError, Scratch, pool};
use crate::host::lock::{Lock, Taken};
use crate::host::{Host, Process, names};

/// Clears away what builders that were killed left of their steps: scratch directories in `state`, named by uid,
/// and that uid's processes and link: on the scoreboard that the builder has noted there, and on `scoreboard`.
pub(in super::super) fn clear(
    host: &dyn Host,
    state: &Path,
    scoreboard: Option<&Path>,
) -> Result<(), SandboxError> {
    for (uid, _lock) in abandoned(host, state)? {
        tracing::info!("removing what a killed build left of uid {uid}");
        let _scratch = Scratch::left_over(state, uid);
        // Without its account, what runs as it may be anybody's.
        if pool::is_ours(host, uid)? {
            Processes::of(host, uid)?.end()?;
        }
        let noted = Scratch::noted_scoreboard(state, uid);
        let scoreboards = noted.as_deref().into_iter().chain(scoreboard);
        for scoreboard in scoreboards.filter(|scoreboard| scoreboard.exists()) {
            Scoreboard::open(scoreboard)?.clear(uid)?;
        }
    }
    Ok(())
}

/// What [`clear`] would remove of `state`.
pub(in super::super) fn find(host: &dyn Host, state: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    let found = abandoned(host, state)?.into_iter();
    Ok(found.map(|(uid, _lock)| Scratch::left_over_path(state, uid)).collect())
}

/// The uids that have a scratch directory in `state` and no step that runs: whoever uses a uid has its lock.
fn abandoned(host: &dyn Host, state: &Path) -> Result<Vec<(u32, Lock)>, SandboxError> {
    let mut found = Vec::new();
    for uid in Scratch::uids_in(state)? {
        if uid >= pool::FIRST_UID
            && let Taken::Ours(lock) = Lock::try_take(host.lock_dir(), &lock_name(uid))?
        {
            found.push((uid, lock));
        }
    }
    Ok(found)
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
