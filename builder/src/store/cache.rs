//! Cache volumes: directories by name that steps keep things in, and that no result depends on.
//!
//! A step works on a clone of the volume. When it ends, well or not, its clone becomes the volume, unless another
//! step's has since this one was made: the first to finish wins, and what the others did is dropped. So nobody
//! waits for anybody, and nobody sees half of what another does.
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;
use super::backend::Identity;
use super::local::Shelf;
use super::lock::Held;

/// A step's clone of a cache volume. Dropping it releases it too, and tells nobody if that fails.
pub trait Volume: Send {
    /// The directory to write to.
    fn dir(&self) -> &Path;

    /// Makes it the volume, unless another was first.
    ///
    /// # Errors
    /// It could not be put in place; the volume is as it was then.
    fn release(self: Box<Self>) -> Result<(), StoreError>;

    /// Drops it, and leaves the volume as it is.
    ///
    /// # Errors
    /// It could not be removed.
    fn abandon(self: Box<Self>) -> Result<(), StoreError>;
}

struct LocalVolume {
    shelf: Arc<Shelf>,
    name: OsString,
    dir: PathBuf,
    /// The volume it was cloned from.
    origin: Identity,
    released: bool,
    /// Freed after the directory is gone: fields go in this order, after `drop`.
    _lock: Held,
}

impl Shelf {
    /// A clone of the cache volume `name`, whose root belongs to `owner`.
    pub(super) fn volume(
        self: &Arc<Self>,
        name: &OsStr,
        owner: (u32, u32),
    ) -> Result<Box<dyn Volume>, StoreError> {
        let name = self.backend.cache_name(name);
        let lock = self.locks.exclusive(&lock_name(&name))?;
        let master = self.layout.cache(&name);
        let origin = match self.backend.volume(&master)? {
            Some(origin) => origin,
            None => self.new_volume(&master, owner)?,
        };
        let (dir, held) = self.place(&name)?;
        let cloned = self.backend.clone_volume(&master, &dir).and_then(|()| own(&dir, owner));
        if let Err(error) = cloned {
            self.backend.discard(&dir)?;
            return Err(error);
        }
        drop(lock);
        let shelf = Arc::clone(self);
        Ok(Box::new(LocalVolume { shelf, name, dir, origin, released: false, _lock: held }))
    }

    fn new_volume(&self, master: &Path, owner: (u32, u32)) -> Result<Identity, StoreError> {
        self.backend.create_volume(master, owner)?;
        let vanished = || StoreError::io("find", master, io::ErrorKind::NotFound);
        self.backend.volume(master)?.ok_or_else(vanished)
    }

    /// A free place for a clone, `cache-tmp/N-NAME`, and the right to it.
    pub(super) fn place(&self, name: &OsStr) -> Result<(PathBuf, Held), StoreError> {
        let mut number = 0;
        loop {
            let mut numbered = OsString::from(format!("{number}-"));
            numbered.push(name);
            if let Some(held) = self.locks.try_exclusive(&clone_lock(&numbered))? {
                let dir = self.layout.cache_clones().join(numbered);
                self.backend.discard(&dir)?;
                return Ok((dir, held));
            }
            number += 1;
        }
    }

    /// Removes the clones nobody works on: their processes were killed. What cannot be removed now is in the way
    /// of nobody.
    pub(super) fn clear_clones(&self) -> Result<(), StoreError> {
        for name in self.backend.names(&self.layout.cache_clones())? {
            if let Some(_lock) = self.locks.try_exclusive(&clone_lock(&name))?
                && let Err(error) = self.backend.discard(&self.layout.cache_clones().join(&name))
            {
                tracing::warn!("{error}");
            }
        }
        Ok(())
    }

    /// The volumes there are, as they are called in the store.
    pub(super) fn volumes(&self) -> Result<Vec<OsString>, StoreError> {
        self.backend.names(&self.layout.caches())
    }

    /// Removes the volume `name`, so called in the store, unless a step works on a clone of it.
    pub(super) fn remove_volume(&self, name: &OsStr) -> Result<(), StoreError> {
        let lock = self.locks.exclusive(&lock_name(name))?;
        if self.is_in_use(name)? {
            return Err(StoreError::CacheInUse { name: name.to_owned() });
        }
        self.drop_volume(name, &lock)
    }

    /// Whether a step works on a clone of the volume `name`. None begins while its lock is held.
    fn is_in_use(&self, name: &OsStr) -> Result<bool, StoreError> {
        for clone in self.backend.names(&self.layout.cache_clones())? {
            let rest =
                clone.as_bytes().strip_suffix(name.as_bytes()).and_then(|rest| rest.strip_suffix(b"-"));
            let is_of_it = rest.is_some_and(|number| number.iter().all(u8::is_ascii_digit));
            if is_of_it && self.locks.try_exclusive(&clone_lock(&clone))?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the volume `name`, whose lock is held. Steps that work on clones of it lose them at their end.
    pub(super) fn drop_volume(&self, name: &OsStr, _lock: &Held) -> Result<(), StoreError> {
        let (away, _held) = self.place(name)?;
        self.backend.take_volume_away(&self.layout.cache(name), &away)?;
        self.backend.discard(&away)
    }
}

impl LocalVolume {
    fn finish(&mut self) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.released, true) {
            return Ok(());
        }
        match self.replace() {
            Ok(true) => Ok(()),
            lost => {
                let discarded = self.shelf.backend.discard(&self.dir);
                lost.and(discarded)
            }
        }
    }

    /// Puts it in the volume's place, if that is still the one it was cloned from.
    fn replace(&self) -> Result<bool, StoreError> {
        let shelf = &self.shelf;
        let _lock = shelf.locks.exclusive(&lock_name(&self.name))?;
        let master = shelf.layout.cache(&self.name);
        if shelf.backend.volume(&master)?.as_ref() != Some(&self.origin) {
            tracing::debug!("{} was changed by another step first", master.display());
            return Ok(false);
        }
        let (away, _held) = shelf.place(&self.name)?;
        shelf.unsynced.note_volume(&self.name)?;
        shelf.backend.replace_volume(&self.dir, &master, &away)?;
        shelf.backend.discard(&away)?;
        Ok(true)
    }
}

impl Volume for LocalVolume {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn release(mut self: Box<Self>) -> Result<(), StoreError> {
        self.finish()
    }

    fn abandon(mut self: Box<Self>) -> Result<(), StoreError> {
        self.released = true;
        self.shelf.backend.discard(&self.dir)
    }
}

impl Drop for LocalVolume {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!("{error}");
        }
    }
}

/// Makes `owner` the one who may write at the root of a volume.
pub(super) fn own(dir: &Path, (uid, gid): (u32, u32)) -> Result<(), StoreError> {
    let owned = chown(dir, Some(uid), Some(gid));
    owned
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)))
        .map_err(|e| StoreError::io("change the owner of", dir, e))
}

/// Held while a volume is cloned or replaced.
pub(super) fn lock_name(name: &OsStr) -> String {
    format!("cache-{}", dataset_name(name))
}

/// Held while a step works on the clone.
pub(super) fn clone_lock(name: &OsStr) -> String {
    format!("cache-tmp-{}", dataset_name(name))
}

/// As OBuilder's rsync store calls a cache, by its own name, but for those that cannot be a file's.
pub(super) fn directory_name(name: &OsStr) -> OsString {
    escaped(name, |at, byte| matches!(byte, b'/' | b'%' | 0) || (at == 0 && byte == b'.'))
}

/// As OBuilder's btrfs and zfs stores call a cache: `c-`, and every byte that is not plain as `%xx`.
pub(super) fn dataset_name(name: &OsStr) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    format!("c-{}", escaped(name, |_, byte| !plain(byte)).to_string_lossy())
}

/// The name of a cache of which `called` makes `name`, in whichever of its ways.
pub(super) fn title(name: &OsStr, called: impl Fn(&OsStr) -> OsString) -> OsString {
    let bytes = name.as_bytes();
    let rest = bytes.strip_prefix(b"c-");
    let forms = [(Some(bytes), b'%'), (rest, b'%'), (rest, b':')];
    let titles = forms.into_iter().filter_map(|(bytes, mark)| bytes.map(|bytes| unescaped(bytes, mark)));
    { titles }.find(|title| called(title) == name).unwrap_or_else(|| name.to_owned())
}

fn unescaped(bytes: &[u8], mark: u8) -> OsString {
    let mut plain = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) if byte == mark => {
                plain.push(code);
                rest = &after[2..];
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    // What no name at all is called.
    if plain == [mark] {
        plain.clear();
    }
    OsString::from_vec(plain)
}

/// No two names become the same, as what stands for a byte begins with one that never stands for itself.
fn escaped(name: &OsStr, must_escape: impl Fn(usize, u8) -> bool) -> OsString {
    let mut bytes = Vec::new();
    for (at, &byte) in name.as_bytes().iter().enumerate() {
        if must_escape(at, byte) {
            bytes.extend(format!("%{byte:02x}").bytes());
        } else {
            bytes.push(byte);
        }
    }
    if bytes.is_empty() {
        bytes.push(b'%');
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests;
