//! Results that a power failure would spoil: kept, but perhaps not yet on the device.
//!
//! A rename reaches the device within seconds, the bytes of the files it brings into view maybe much later, so
//! that a result might be there after a power failure with empty files in it. To sync after each step would
//! cost it more than all the rest (and wait for whatever else the machine is writing). So each result is noted
//! in `state/unsynced/BOOT/ID` before it is put in place: file systems keep the order of such changes. The note
//! goes when the file system was synced after that; one from an earlier boot means that the result must go.
//!
//! The note holds the id of what the result was made from, for a builder may be killed after it has put the
//! result in place and before it has registered it.
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::StoreError;
use super::system;
use crate::step::StepId;

/// How the notes about cache volumes begin. No id does.
const VOLUME: &str = "cache-";

pub(super) struct Unsynced {
    dir: PathBuf,
    this_boot: PathBuf,
    pending: AtomicBool,
}

/// What was about to be put in place.
pub(super) struct Note {
    /// The result; `None` if it is about a cache volume.
    pub(super) id: Option<StepId>,
    path: PathBuf,
}

impl Unsynced {
    pub(super) fn open(dir: PathBuf) -> Result<Self, StoreError> {
        let boot = system::boot_id().map_err(|e| StoreError::io("learn the boot id for", &dir, e))?;
        Ok(Self { this_boot: dir.join(boot), dir, pending: AtomicBool::new(false) })
    }

    /// Notes `id`, made from `base`, which is about to be put in place.
    pub(super) fn note(&self, id: &StepId, base: Option<&StepId>) -> Result<(), StoreError> {
        self.write(OsStr::new(id.as_str()), base.map_or("", StepId::as_str))
    }

    /// Takes the note about `id` back: it is in place, registered, and on the device.
    pub(super) fn forget(&self, id: &StepId) -> Result<(), StoreError> {
        remove(&self.this_boot.join(id.as_str()))
    }

    /// Notes the cache volume that the store calls `name`, which is about to be put in place.
    pub(super) fn note_volume(&self, name: &OsStr) -> Result<(), StoreError> {
        let mut note = OsString::from(VOLUME);
        note.push(name);
        self.write(&note, "")
    }

    fn write(&self, name: &OsStr, base: &str) -> Result<(), StoreError> {
        let note = self.this_boot.join(name);
        let mut made = File::create(&note);
        if matches!(&made, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            fs::create_dir_all(&self.this_boot).map_err(|e| StoreError::io("make", &self.this_boot, e))?;
            made = File::create(&note);
        }
        let noted = made.and_then(|mut file| file.write_all(base.as_bytes()));
        noted.map_err(|e| StoreError::io("write", note, e))?;
        self.pending.store(true, Ordering::Release);
        Ok(())
    }

    /// Brings to the device whatever was noted, by whomever, and is in place by now, unless what is in place is
    /// `safe` there already. Does nothing if neither we nor somebody who was killed noted anything.
    pub(super) fn sync(
        &self,
        safe: bool,
        is_in_place: impl Fn(&Note) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        if !self.pending.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let done = self.sync_noted(safe, is_in_place);
        if done.is_err() {
            self.pending.store(true, Ordering::Release);
        }
        done
    }

    fn sync_noted(
        &self,
        safe: bool,
        is_in_place: impl Fn(&Note) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut noted = Vec::new();
        for note in notes(&self.this_boot)? {
            if is_in_place(&note)? {
                noted.push(note);
            }
        }
        if !safe {
            let failed = |error| StoreError::io("sync", &self.dir, error);
            File::open(&self.dir).and_then(|dir| system::sync_file_system(&dir)).map_err(failed)?;
        }
        noted.iter().try_for_each(|note| remove(&note.path))
    }

    /// What this boot noted and did not sync yet. Some of it is of builders that were killed, so
    /// [`Unsynced::sync`] has something to do now.
    pub(super) fn noted(&self) -> Result<Vec<Note>, StoreError> {
        let notes = notes(&self.this_boot)?;
        if !notes.is_empty() {
            self.pending.store(true, Ordering::Release);
        }
        Ok(notes)
    }

    /// What earlier boots noted and never synced.
    pub(super) fn doubtful(&self) -> Result<Vec<Note>, StoreError> {
        let mut found = Vec::new();
        for boot in list(&self.dir)? {
            if boot != self.this_boot {
                found.extend(notes(&boot)?);
            }
        }
        Ok(found)
    }
}

impl Note {
    /// What the store calls the cache volume this is about, if it is about one.
    pub(super) fn volume(&self) -> Option<OsString> {
        let name = self.path.file_name()?.as_bytes().strip_prefix(VOLUME.as_bytes())?;
        Some(OsStr::from_bytes(name).to_owned())
    }

    /// What the result was made from, if that is written down.
    pub(super) fn base(&self) -> Option<StepId> {
        fs::read_to_string(&self.path).ok().and_then(|text| StepId::parse(&text))
    }

    /// Whether nobody else has settled it meanwhile.
    pub(super) fn is_open(&self) -> bool {
        self.path.exists()
    }

    /// Its result is gone.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        remove(&self.path)?;
        // Fails while other notes are in it.
        let _ = self.path.parent().map(fs::remove_dir);
        Ok(())
    }
}

fn notes(boot: &Path) -> Result<Vec<Note>, StoreError> {
    let note = |path: PathBuf| Note {
        id: path.file_name().and_then(|name| name.to_str()).and_then(StepId::parse),
        path,
    };
    Ok(list(boot)?.into_iter().map(note).collect())
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |error| StoreError::io("read", dir, error);
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.path()).map_err(failed)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

fn remove(note: &Path) -> Result<(), StoreError> {
    match fs::remove_file(note) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", note, error)),
        _ => Ok(()),
    }
}
