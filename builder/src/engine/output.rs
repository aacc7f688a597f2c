//! The output of a running step: one pipe for both its streams, read as it comes.
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;

use tokio::net::unix::pipe;

use super::{BuildError, Log};

/// The reading end of a step's output, and the result's `log` it is written to.
pub(super) struct Output {
    from: pipe::Receiver,
    file: File,
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

impl Output {
    /// A pipe whose output goes to the file `path`; returns the end the step writes to.
    pub(super) fn open(path: PathBuf) -> Result<(Self, OwnedFd), BuildError> {
        let failed = |error| BuildError::Io { path: path.clone(), error };
        let file = File::create(&path).map_err(failed)?;
        let (from, to) = io::pipe().map_err(failed)?;
        let from = pipe::Receiver::from_owned_fd(from.into()).map_err(failed)?;
        Ok((Self { from, file, path, buffer: vec![0; 64 * 1024], unstored: None }, to.into()))
    }

    /// Shows and stores what is printed while `work` goes on, and what is left in the pipe when it has ended.
    /// Whoever can write must be gone by then.
    pub(super) async fn follow_while<T>(
        &mut self,
        work: impl Future<Output = T>,
        log: &mut Log,
    ) -> Result<T, BuildError> {
        let mut work = pin!(work);
        let done = tokio::select! {
            done = &mut work => done,
            followed = self.follow(log) => {
                followed?;
                work.await
            }
        };
        self.drain(log)?;
        Ok(done)
    }

    /// Shows and stores what comes, until every writer is gone.
    async fn follow(&mut self, log: &mut Log) -> Result<(), BuildError> {
        loop {
            self.from.readable().await.map_err(|error| self.failed(error))?;
            if let Taken::End = self.take(log)? {
                return Ok(());
            }
            // A step that never stops printing must not keep a signal from being heard.
            tokio::task::yield_now().await;
        }
    }

    /// Shows and stores all that is there now. The runtime may not have heard of it yet, so the pipe itself
    /// is asked.
    fn drain(&mut self, log: &mut Log) -> Result<(), BuildError> {
        loop {
            let read = nix::unistd::read(&self.from, &mut self.buffer).map_err(io::Error::from);
            match self.taken(read, log)? {
                Taken::Some => {}
                Taken::NothingYet | Taken::End => return Ok(()),
            }
        }
    }

    /// Whether all that was shown is stored as well.
    ///
    /// Asked last: a step that filled the disk is to be shown to its end, and to fail by its own words.
    pub(super) fn stored(self) -> Result<(), BuildError> {
        match self.unstored {
            None => Ok(()),
            Some(error) => Err(BuildError::Io { path: self.path, error }),
        }
    }

    fn take(&mut self, log: &mut Log) -> Result<Taken, BuildError> {
        let read = self.from.try_read(&mut self.buffer);
        self.taken(read, log)
    }

    fn taken(&mut self, read: io::Result<usize>, log: &mut Log) -> Result<Taken, BuildError> {
        match read {
            Ok(0) => Ok(Taken::End),
            Ok(n) => {
                log.output(&self.buffer[..n])?;
                if self.unstored.is_none() {
                    self.unstored = self.file.write_all(&self.buffer[..n]).err();
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
