//! The directory that images stand in.
//!
//! What changes it does so under one lock of the machine, held for a moment: names are made and moved whole, so that
//! whoever is killed leaves either the old state or the new one, and at most something hidden that the next one clears
//! away.
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::lock::try_own;
use super::{ImageError, ImageName};
use crate::fetch::PROFILE;
use crate::host::Host;
use crate::host::lock::Lock;
use crate::transfer::exchange;
use crate::transfer::remove::remove_tree;

/// What is being made or removed begins so.
const HIDDEN: &str = ".obuilder-image-";
/// The home in a version's directory.
const HOME: &str = "home";
/// The lock's name.
const LOCK: &str = "images";

/// The images in one directory.
pub struct Shelf {
    dir: PathBuf,
    host: Box<dyn Host>,
}

/// An image that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name, with the version if it has one.
    pub name: ImageName,
    /// Its directory.
    pub dir: PathBuf,
    /// The home: `home` in its directory, or the directory itself.
    pub home: PathBuf,
    /// Whether `(from NAME)` without a version means it.
    pub current: bool,
}

/// An image being made. Dropped unless it is kept.
#[derive(Debug)]
pub struct Draft {
    dir: PathBuf,
    _owned: File,
}

impl Draft {
    /// The home to be: an empty directory at first.
    pub fn rootfs(&self) -> PathBuf {
        self.version().join(HOME)
    }

    fn version(&self) -> PathBuf {
        self.dir.join("version")
    }

    /// A directory for what is needed only while it is made.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.dir) {
            tracing::warn!("{error}");
        }
    }
}

impl Shelf {
    /// The images in `dir`, as `/Users`.
    pub fn new(dir: PathBuf, host: Box<dyn Host>) -> Self {
        Self { dir, host }
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything here that is an image, by name and version.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        let failed = |error| ImageError::io("read", &self.dir)(error);
        let mut images = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(Ok(name)) = name.to_str().map(str::parse::<ImageName>) else { continue };
            images.extend(self.stands(&name).then(|| self.image(name)));
        }
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// The image of that name: the version given, or the one that the name means.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &ImageName) -> Result<Image, ImageError> {
        let meant = match &name.version {
            None => self.meant(&name.name).unwrap_or_else(|| name.clone()),
            Some(_) => name.clone(),
        };
        let missing = || ImageError::Missing { name: name.clone(), dir: self.dir.clone() };
        if self.stands(&meant) { Ok(self.image(meant)) } else { Err(missing()) }
    }

    /// A place to make `name`, which has a version, in.
    ///
    /// # Errors
    /// It is there already, its name is something else's, or the directory cannot be written.
    pub fn draft(&self, name: &ImageName) -> Result<Draft, ImageError> {
        let _lock = self.lock()?;
        self.sweep()?;
        self.check_free(name)?;
        let dir = self.dir.join(format!("{HIDDEN}{}-{name}", std::process::id()));
        let make = |dir: &Path, mode| {
            fs::DirBuilder::new().mode(mode).create(dir).map_err(ImageError::io("make", dir))
        };
        // What is made in it may belong to a build user, who runs other steps meanwhile.
        make(&dir, 0o700)?;
        let owned = try_own(&dir).map_err(ImageError::io("lock", &dir))?;
        let owned = owned.ok_or_else(|| ImageError::InUse(name.clone()))?;
        let draft = Draft { dir, _owned: owned };
        make(&draft.version(), 0o755)?;
        make(&draft.rootfs(), 0o755)?;
        make(&draft.state(), 0o755)?;
        Ok(draft)
    }

    /// Puts what `draft` holds in place as `name`, which `(from NAME)` means from then on.
    ///
    /// # Errors
    /// As [`Shelf::draft`].
    pub fn keep(&self, draft: Draft, name: &ImageName) -> Result<Image, ImageError> {
        // What belongs to a build user in it must not be within its reach, nor a set-user-id program within anybody's.
        let version = draft.version();
        fs::set_permissions(&version, Permissions::from_mode(0o700))
            .map_err(ImageError::io("close", &version))?;
        // Its bytes before its name: a power failure must not leave an image of empty files.
        nix::unistd::sync();
        let _lock = self.lock()?;
        self.check_free(name)?;
        let dir = self.path(name);
        fs::rename(&version, &dir).map_err(ImageError::io("make", &dir))?;
        self.mean(name)?;
        Ok(self.image(name.clone()))
    }

    /// Lets `(from NAME)` mean this version.
    ///
    /// # Errors
    /// There is no such version, or the link cannot be made.
    pub fn choose(&self, name: &ImageName) -> Result<Image, ImageError> {
        let _lock = self.lock()?;
        let image = self.find(name)?;
        self.check_link(name)?;
        self.mean(&image.name)?;
        Ok(self.image(image.name))
    }

    /// Removes a version, or without one the image in all its versions.
    ///
    /// # Errors
    /// There is none, somebody uses it, it is a user's home, or it is a version that others depend on by its name.
    pub fn remove(&self, name: &ImageName) -> Result<Vec<Image>, ImageError> {
        let lock = self.lock()?;
        let mut doomed = self.list()?;
        doomed.retain(|image| match name.version {
            Some(_) => image.name == *name,
            None => image.name.name == name.name,
        });
        if doomed.is_empty() {
            return Err(ImageError::Missing { name: name.clone(), dir: self.dir.clone() });
        }
        if let (Some(_), [only]) = (&name.version, &doomed[..])
            && only.current
        {
            return Err(ImageError::Current(name.clone()));
        }
        // All or none.
        let owned = doomed.iter().map(|image| self.take(image)).collect::<Result<Vec<_>, _>>()?;
        if name.version.is_none() && self.meant(&name.name).is_some() {
            let link = self.path(name);
            fs::remove_file(&link).map_err(ImageError::io("remove", &link))?;
        }
        let going = doomed.iter().map(|image| self.hide(&image.dir)).collect::<Result<Vec<_>, _>>()?;
        // What takes long is done without the lock: nobody else clears away what we own.
        drop(lock);
        going.iter().try_for_each(|(dir, _owned)| remove_tree(dir))?;
        drop(owned);
        Ok(doomed)
    }

    /// The image for us alone, so that it can be removed.
    fn take(&self, image: &Image) -> Result<File, ImageError> {
        let homes = [&image.dir, &self.dir.join(&image.name.name)];
        if let Some(user) = self.host.account_named(&image.name.name)?
            && homes.contains(&&user.home)
        {
            return Err(ImageError::Home { dir: user.home, user: user.name });
        }
        let owned = try_own(&image.home).map_err(ImageError::io("lock", &image.home))?;
        owned.ok_or_else(|| ImageError::InUse(image.name.clone()))
    }

    /// Takes it out of sight, for us alone to clear away: there is never half an image.
    fn hide(&self, dir: &Path) -> Result<(PathBuf, Option<File>), ImageError> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let going = self.dir.join(format!("{HIDDEN}{}-{name}", std::process::id()));
        fs::rename(dir, &going).map_err(ImageError::io("remove", dir))?;
        // Where the home is the directory itself, it is ours already.
        let owned = try_own(&going).map_err(ImageError::io("lock", &going))?;
        Ok((going, owned))
    }

    /// Makes the link. A directory that has the name becomes a version.
    fn mean(&self, name: &ImageName) -> Result<(), ImageError> {
        let Some(version) = &name.version else { return Ok(()) };
        let plain = self.dir.join(&name.name);
        let target = name.to_string();
        let unversioned = fs::symlink_metadata(&plain).is_ok_and(|meta| meta.is_dir());
        let link = if unversioned {
            self.dir.join(format!("{}@before-{version}", name.name))
        } else {
            self.dir.join(format!("{HIDDEN}{}-link", std::process::id()))
        };
        if link.is_symlink() {
            // Of one who was killed right here.
            fs::remove_file(&link).map_err(ImageError::io("remove", &link))?;
        }
        symlink(&target, &link).map_err(ImageError::io("make", &link))?;
        let placed = if unversioned { exchange(&link, &plain) } else { fs::rename(&link, &plain) };
        placed.map_err(ImageError::io("replace", &plain))
    }

    /// The version that a name without one means.
    fn meant(&self, name: &str) -> Option<ImageName> {
        let target = fs::read_link(self.dir.join(name)).ok()?;
        let meant: ImageName = target.to_str()?.parse().ok()?;
        (meant.name == name && meant.version.is_some()).then_some(meant)
    }

    fn image(&self, name: ImageName) -> Image {
        let current = name.version.is_none() || self.meant(&name.name).as_ref() == Some(&name);
        let dir = self.path(&name);
        let apart = dir.join(HOME);
        let home = if is_there(&apart.join(PROFILE)) { apart } else { dir.clone() };
        Image { dir, home, current, name }
    }

    /// Whether it is a directory, not a link, and a home or with a home in it.
    fn stands(&self, name: &ImageName) -> bool {
        let dir = self.path(name);
        let home =
            || [dir.join(PROFILE), dir.join(HOME).join(PROFILE)].iter().any(|profile| is_there(profile));
        fs::symlink_metadata(&dir).is_ok_and(|meta| meta.is_dir()) && home()
    }

    fn check_free(&self, name: &ImageName) -> Result<(), ImageError> {
        if fs::symlink_metadata(self.path(name)).is_ok() {
            return Err(ImageError::Exists(name.clone()));
        }
        self.check_link(name)
    }

    /// Whether the name without a version is a link of ours, or may become one.
    fn check_link(&self, name: &ImageName) -> Result<(), ImageError> {
        let plain = self.dir.join(&name.name);
        let unversioned = ImageName { name: name.name.clone(), version: None };
        let there = fs::symlink_metadata(&plain).is_ok();
        if there && self.meant(&name.name).is_none() && !self.stands(&unversioned) {
            return Err(ImageError::InTheWay(plain));
        }
        match self.host.account_named(&name.name)? {
            Some(user) if there && user.home == plain => {
                Err(ImageError::Home { dir: plain, user: user.name })
            }
            _ => Ok(()),
        }
    }

    /// Clears away what killed processes have left.
    fn sweep(&self) -> Result<(), ImageError> {
        for entry in fs::read_dir(&self.dir).map_err(ImageError::io("read", &self.dir))?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(HIDDEN) {
                continue;
            }
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_file(&path).map_err(ImageError::io("remove", &path))?;
            } else if try_own(&path).map_err(ImageError::io("lock", &path))?.is_some() {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &ImageName) -> PathBuf {
        self.dir.join(name.to_string())
    }

    fn lock(&self) -> Result<Lock, ImageError> {
        Ok(Lock::take(self.host.lock_dir(), LOCK)?)
    }
}

/// Whether there is a file; whoever may not look inside an image knows that it is one.
fn is_there(profile: &Path) -> bool {
    match fs::metadata(profile) {
        Ok(meta) => meta.is_file(),
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests;
