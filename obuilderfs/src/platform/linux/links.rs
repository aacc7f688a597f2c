//! Word of changes in one directory, `inotify(7)`.
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Waits for links to come and go.
#[derive(Debug)]
pub(crate) struct LinkWatch(Inotify);

impl LinkWatch {
    /// Watches the directory.
    ///
    /// # Errors
    /// As `inotify_add_watch(2)`.
    pub(crate) fn new(directory: &Path) -> Result<Self, Errno> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(directory, changes)?;
        Ok(Self(inotify))
    }

    /// Returns when something has changed, true, or after `limit`, if there is one, false.
    ///
    /// # Errors
    /// As `poll(2)` and `read(2)`.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> Result<bool, Errno> {
        let limit = limit.map_or(PollTimeout::NONE, |limit| limit.try_into().unwrap_or(PollTimeout::MAX));
        loop {
            let mut events = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut events, limit) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Ok(false),
                ready => return ready.and_then(|_| self.0.read_events()).map(|_| true),
            }
        }
    }
}
