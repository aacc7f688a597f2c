//! Word of changes in one directory, `inotify(7)`.
use std::path::Path;

use nix::errno::Errno;
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

    /// Returns when something has changed.
    ///
    /// # Errors
    /// As `read(2)`.
    pub(crate) fn wait(&mut self) -> Result<(), Errno> {
        loop {
            match self.0.read_events() {
                Err(Errno::EINTR) => {}
                read => return read.map(drop),
            }
        }
    }
}
