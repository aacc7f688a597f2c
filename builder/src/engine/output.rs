//! The output of a running step: one pipe for both its streams, read as it comes.
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;

use tokio::net::unix::pipe;

use super::BuildError;
use super::live_log::LiveLog;

/// The reading end of a step's output, and the log it is added to.
pub(super) struct Output<'l> {
    from: pipe::Receiver,
    log: &'l LiveLog,
    /// The result's `log`.
    path: PathBuf,
    buffer: Vec<u8>,
    /// The first write to the file that failed.
    unstored: Option<io::Error>,
}

/// What a look into the pipe found.
enum Taken {
    Some,
    NothingYet,
    End,
}

impl<'l> Output<'l> {
    /// A pipe whose output is `log`'s next piece, in the file `path`; returns the end the step writes to.
    pub(super) fn open(log: &'l LiveLog, path: PathBuf) -> Result<(Self, OwnedFd), BuildError> {
        let failed = |error| BuildError::Io { path: path.clone(), error };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        log.begin(file.map_err(failed)?, 0);
        let (from, to) = io::pipe().map_err(failed)?;
        let from = pipe::Receiver::from_owned_fd(from.into()).map_err(failed)?;
        Ok((Self { from, log, path, buffer: vec![0; 64 * 1024], unstored: None }, to.into()))
    }

    /// Takes what is printed while `work` goes on, and what is left in the pipe when it has ended. Whoever can
    /// write must be gone by then.
    pub(super) async fn follow_while<T>(&mut self, work: impl Future<Output = T>) -> Result<T, BuildError> {
        let mut work = pin!(work);
        let done = tokio::select! {
            done = &mut work => done,
            followed = self.follow() => {
                followed?;
                work.await
            }
        };
        self.drain()?;
        Ok(done)
    }

    /// Takes what comes, until every writer is gone.
    async fn follow(&mut self) -> Result<(), BuildError> {
        loop {
            self.from.readable().await.map_err(|error| self.failed(error))?;
            if let Taken::End = self.take()? {
                return Ok(());
            }
            // A step that never stops printing must not keep others from going on.
            tokio::task::yield_now().await;
        }
    }

    /// Takes all that is there now. The runtime may not have heard of it yet, so the pipe itself is asked.
    fn drain(&mut self) -> Result<(), BuildError> {
        loop {
            let read = nix::unistd::read(&self.from, &mut self.buffer).map_err(io::Error::from);
            match self.taken(read)? {
                Taken::Some => {}
                Taken::NothingYet | Taken::End => return Ok(()),
            }
        }
    }

    /// Whether all that was taken is stored as well.
    ///
    /// Asked last: a step that filled the disk is to be shown to its end, and to fail by its own words.
    pub(super) fn stored(self) -> Result<(), BuildError> {
        match self.unstored {
            None => Ok(()),
            Some(error) => Err(BuildError::Io { path: self.path, error }),
        }
    }

    fn take(&mut self) -> Result<Taken, BuildError> {
        let read = self.from.try_read(&mut self.buffer);
        self.taken(read)
    }

    fn taken(&mut self, read: io::Result<usize>) -> Result<Taken, BuildError> {
        match read {
            Ok(0) => Ok(Taken::End),
            Ok(n) => {
                if let Err(error) = self.log.append(&self.buffer[..n]) {
                    self.unstored.get_or_insert(error);
                }
                Ok(Taken::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::NothingYet),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Taken::Some),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> BuildError {
        BuildError::Io { path: self.path.clone(), error }
    }
}
