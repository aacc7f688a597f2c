//! The output of a job, read by any number of builds while it grows.
//!
//! It is kept in files (the drafts' logs), held open, so that it costs no memory and outlives their being
//! renamed or deleted. Every reader sees all of it from the beginning.
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// How much of what could not be stored is kept for those who read along.
const BEYOND: usize = 1 << 20;

/// A growing log.
#[derive(Debug)]
pub(super) struct LiveLog {
    /// One for each attempt at the step: those of other processes may come to nothing.
    pieces: Mutex<Vec<Piece>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Clone)]
struct Piece {
    file: Arc<File>,
    /// Bytes of the file that are there to be read.
    stored: u64,
    /// What came after them and could not be stored.
    beyond: Vec<u8>,
}

/// How far somebody has read.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cursor {
    piece: usize,
    offset: u64,
}

impl Default for LiveLog {
    fn default() -> Self {
        Self { pieces: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl LiveLog {
    /// Goes on in `file`, which may hold something already.
    pub(super) fn begin(&self, file: File, stored: u64) {
        self.pieces.lock().push(Piece { file: Arc::new(file), stored, beyond: Vec::new() });
        self.changed.send_replace(());
    }

    /// Adds `bytes` to the file. What cannot be stored is still shown to those who read along.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut pieces = self.pieces.lock();
        let Some(piece) = pieces.last_mut() else { return Ok(()) };
        let outcome = piece.append(bytes);
        drop(pieces);
        self.changed.send_replace(());
        outcome
    }

    /// Looks how much somebody else has added to the file.
    pub(super) fn refresh(&self) -> io::Result<()> {
        let mut pieces = self.pieces.lock();
        let Some(piece) = pieces.last_mut() else { return Ok(()) };
        let stored = piece.file.metadata()?.len();
        let grown = std::mem::replace(&mut piece.stored, stored) != stored;
        drop(pieces);
        if grown {
            self.changed.send_replace(());
        }
        Ok(())
    }

    /// Hears of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The next bytes after `cursor`, which moves on; 0 when there are no more now.
    pub(super) fn read(&self, cursor: &mut Cursor, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let pieces = self.pieces.lock();
            let Some(piece) = pieces.get(cursor.piece) else { return Ok(0) };
            let last = cursor.piece + 1 == pieces.len();
            if let Some(later) = cursor.offset.checked_sub(piece.stored) {
                let beyond = piece.beyond.get(usize::try_from(later).unwrap_or(usize::MAX)..).unwrap_or(&[]);
                let n = beyond.len().min(buffer.len());
                buffer[..n].copy_from_slice(&beyond[..n]);
                cursor.offset += n as u64;
                if n > 0 || last {
                    return Ok(n);
                }
            } else {
                let (file, most) = (Arc::clone(&piece.file), piece.stored - cursor.offset);
                drop(pieces);
                let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
                let n = file.read_at(&mut buffer[..most], cursor.offset)?;
                cursor.offset += n as u64;
                if n > 0 || last {
                    return Ok(n);
                }
            }
            *cursor = Cursor { piece: cursor.piece + 1, offset: 0 };
        }
    }
}

impl Piece {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut outcome = Ok(());
        while !bytes.is_empty() && self.beyond.is_empty() && outcome.is_ok() {
            match self.file.write_at(bytes, self.stored) {
                Ok(0) => outcome = Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.stored += n as u64;
                    bytes = &bytes[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => outcome = Err(error),
            }
        }
        let room = BEYOND - self.beyond.len();
        self.beyond.extend_from_slice(&bytes[..bytes.len().min(room)]);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(log: &LiveLog, cursor: &mut Cursor) -> String {
        let (mut all, mut buffer) = (Vec::new(), [0; 3]);
        loop {
            match log.read(cursor, &mut buffer).unwrap() {
                0 => return String::from_utf8(all).unwrap(),
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    }

    #[test]
    fn every_reader_sees_every_piece_from_its_beginning() {
        let log = LiveLog::default();
        let (mut early, mut late) = (Cursor::default(), Cursor::default());
        assert_eq!(rest(&log, &mut early), "");
        log.begin(tempfile::tempfile().unwrap(), 0);
        log.append(b"one, ").unwrap();
        assert_eq!(rest(&log, &mut early), "one, ");
        log.append(b"two, ").unwrap();
        log.begin(tempfile::tempfile().unwrap(), 0);
        log.append(b"three").unwrap();
        assert_eq!(rest(&log, &mut early), "two, three");
        assert_eq!(rest(&log, &mut late), "one, two, three");
        assert_eq!(rest(&log, &mut late), "");
    }

    #[test]
    fn what_another_process_adds_is_seen_after_a_refresh() {
        let log = LiveLog::default();
        let file = tempfile::tempfile().unwrap();
        log.begin(file.try_clone().unwrap(), 0);
        file.write_all_at(b"theirs", 0).unwrap();
        let (mut cursor, changes) = (Cursor::default(), log.changes());
        assert_eq!(rest(&log, &mut cursor), "");
        log.refresh().unwrap();
        assert!(changes.has_changed().unwrap());
        assert_eq!(rest(&log, &mut cursor), "theirs");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_full_disk_does_not_take_is_shown_and_the_error_told_each_time_it_is_met() {
        let log = LiveLog::default();
        log.begin(File::options().read(true).write(true).open("/dev/full").unwrap(), 0);
        let error = log.append(b"lost").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        let mut cursor = Cursor::default();
        log.append(b" words").unwrap();
        assert_eq!(rest(&log, &mut cursor), "lost words");
        log.append(&vec![b'x'; 2 * BEYOND]).unwrap();
        assert_eq!(rest(&log, &mut cursor).len(), BEYOND - "lost words".len());
    }
}
