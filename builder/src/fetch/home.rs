//! Base images that are home directories: `(from NAME)` is the directory NAME in one of several places.
//!
//! The directory is a home; or it holds one, `home`, and perhaps `brew`, which is to be seen at the prefix, as the
//! datasets of OBuilder's Mac workers do.
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment::Environment;
use super::{Fetch, FetchError, Request};
use crate::image;
use crate::store::{Store, Tree};
use crate::transfer::clone::{Reown, clone_tree};

/// The one file a base image needs: every command is run with it sourced.
pub(crate) const PROFILE: &str = ".obuilder_profile.sh";
/// What the profile is called while a home is being made by `install-homebrew.sh`.
const UNFINISHED: &str = ".obuilder_profile.sh.unfinished";
/// What appears at the prefix.
pub(crate) const LOCAL: &str = "local";
/// The image that is there without a directory.
const EMPTY: &str = "empty";

/// The home and the prefix of an image that keeps them apart.
const APART: (&str, &str) = ("home", "brew");

/// The home directories in some places.
pub struct HomeTemplates {
    dir: PathBuf,
    store: Option<Arc<dyn Store>>,
}

/// What an image is made of.
struct Parts {
    home: PathBuf,
    /// What is to be seen at the prefix, if it is not in the home.
    local: Option<PathBuf>,
    /// Keeps them there, where a store shows them only for a while.
    _shown: Option<Tree>,
}

impl HomeTemplates {
    /// Those in `dir`, as `/Users`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, store: None }
    }

    /// Looks for images in `store` too, when there is none of that name in the directory.
    #[must_use]
    pub fn and(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// What the image is made of; `None` for the one that is built in.
    fn find(&self, name: &OsStr) -> Result<Option<Parts>, FetchError> {
        let shown = || name.to_string_lossy().into_owned();
        let bytes = name.as_encoded_bytes();
        if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') {
            return Err(FetchError::Name(shown()));
        }
        let dir = self.dir.join(name);
        if let Some(parts) = Parts::of(dir.clone())? {
            return Ok(Some(parts));
        }
        if let Some(store) = &self.store
            && let Some(tree) = store.base_image(name)?
            && let Some(parts) = Parts::of(tree.to_owned())?
        {
            return Ok(Some(Parts { _shown: Some(tree), ..parts }));
        }
        if name == EMPTY {
            return Ok(None);
        }
        if !is_dir(&dir)? {
            return Err(FetchError::Missing { name: shown(), dir });
        }
        if is_file(&dir.join(UNFINISHED))? {
            let what =
                "says that it is being made, or was left half-made; wait, or run init-homebrew.sh again";
            return Err(FetchError::NotAnImage { dir, part: UNFINISHED.into(), what });
        }
        let what = "is not a file there; make one, which may be empty";
        Err(FetchError::NotAnImage { dir, part: PROFILE.into(), what })
    }
}

impl Parts {
    /// What the image in `dir` is made of; `None` if there is none.
    fn of(dir: PathBuf) -> Result<Option<Self>, FetchError> {
        let (home, local) = (dir.join(APART.0), dir.join(APART.1));
        if is_file(&dir.join(PROFILE))? {
            return Ok(Some(Self { home: dir, local: None, _shown: None }));
        }
        if !is_file(&home.join(PROFILE))? {
            return Ok(None);
        }
        let local = is_dir(&local)?.then_some(local);
        Ok(Some(Self { home, local, _shown: None }))
    }
}

impl Fetch for HomeTemplates {
    fn fetch(&self, request: Request) -> Result<Environment, FetchError> {
        let (rootfs, owner) = (&request.rootfs, request.owner);
        match self.find(&request.name)? {
            Some(parts) => clone_home(&parts, rootfs, owner)?,
            None => make_empty(rootfs, owner)?,
        }
        make_local(rootfs, owner)?;
        Ok(Environment::new())
    }
}

/// Clones a home; what belongs to its owner is `owner`'s in the clone.
fn clone_home(parts: &Parts, rootfs: &Path, owner: (u32, u32)) -> Result<(), FetchError> {
    // The name may be a link to one of several versions, and be led to another one meanwhile.
    let dir = &parts.home.canonicalize().map_err(|error| io_error(&parts.home, error))?;
    let _held = image::hold(dir).map_err(|error| io_error(dir, error))?;
    let from = fs::metadata(dir).map_err(|error| io_error(dir, error))?.uid();
    let reown = Some(Reown { from, uid: owner.0, gid: owner.1 });
    clone_tree(dir, rootfs, reown)?;
    if let Some(from) = &parts.local {
        let local = rootfs.join(LOCAL);
        if local.is_symlink() {
            // To the prefix, where this is to be seen.
            fs::remove_file(&local).map_err(|error| io_error(&local, error))?;
        }
        clone_tree(from, &local, reown)?;
    }
    // A home that others may write to would not be the step's own.
    own(rootfs, owner)
}

fn make_empty(rootfs: &Path, owner: (u32, u32)) -> Result<(), FetchError> {
    make_dir(rootfs)?;
    own(rootfs, owner)?;
    let profile = rootfs.join(PROFILE);
    File::create(&profile).map_err(|error| io_error(&profile, error))?;
    own(&profile, owner)
}

fn make_local(rootfs: &Path, owner: (u32, u32)) -> Result<(), FetchError> {
    let local = rootfs.join(LOCAL);
    match fs::symlink_metadata(&local) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => {
            let what = "is not a directory, so it cannot be shown as the prefix";
            Err(FetchError::NotAnImage { dir: rootfs.to_owned(), part: LOCAL.into(), what })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(&local)?;
            own(&local, owner)
        }
        Err(error) => Err(io_error(&local, error)),
    }
}

fn make_dir(dir: &Path) -> Result<(), FetchError> {
    let made = fs::create_dir(dir).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    });
    made.and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)))
        .map_err(|error| io_error(dir, error))
}

fn own(path: &Path, (uid, gid): (u32, u32)) -> Result<(), FetchError> {
    chown(path, Some(uid), Some(gid)).map_err(|error| io_error(path, error))
}

fn is_dir(path: &Path) -> Result<bool, FetchError> {
    found(path, fs::metadata(path)).map(|meta| meta.is_some_and(|meta| meta.is_dir()))
}

fn is_file(path: &Path) -> Result<bool, FetchError> {
    found(path, fs::metadata(path)).map(|meta| meta.is_some_and(|meta| meta.is_file()))
}

fn found(path: &Path, meta: io::Result<fs::Metadata>) -> Result<Option<fs::Metadata>, FetchError> {
    match meta {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(io_error(path, error)),
    }
}

fn io_error(path: &Path, error: io::Error) -> FetchError {
    FetchError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(dir: &Path, name: &str) -> Result<PathBuf, String> {
        let rootfs = dir.join("rootfs");
        let owner = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let (_, output) = io::pipe().unwrap();
        let cancel = crate::sandbox::Cancel::default();
        let request =
            Request { name: name.into(), rootfs: rootfs.clone(), owner, output: output.into(), cancel };
        let store = crate::store::open(&crate::store::StoreUrl::Rsync(dir.join("store"))).unwrap();
        let fetched = HomeTemplates::new(dir.join("homes")).and(store).fetch(request);
        fetched.map(|_| rootfs).map_err(|error| error.to_string())
    }

    fn homes() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("homes/bare")).unwrap();
        fs::create_dir_all(dir.path().join("homes/full/local/bin")).unwrap();
        fs::write(dir.path().join("homes/full").join(PROFILE), "A=1\n").unwrap();
        dir
    }

    #[test]
    fn the_empty_image_needs_no_directory() {
        let dir = homes();
        let rootfs = fetch(dir.path(), "empty").unwrap();
        assert_eq!(fs::read(rootfs.join(PROFILE)).unwrap(), b"");
        assert!(rootfs.join(LOCAL).is_dir());
    }

    #[test]
    fn a_directory_named_empty_takes_its_place() {
        let dir = homes();
        fs::rename(dir.path().join("homes/full"), dir.path().join("homes/empty")).unwrap();
        let rootfs = fetch(dir.path(), "empty").unwrap();
        assert_eq!(fs::read(rootfs.join(PROFILE)).unwrap(), b"A=1\n");
    }

    #[test]
    fn a_home_is_cloned_with_all_it_has() {
        let dir = homes();
        let rootfs = fetch(dir.path(), "full").unwrap();
        assert_eq!(fs::read(rootfs.join(PROFILE)).unwrap(), b"A=1\n");
        assert!(rootfs.join("local/bin").is_dir());
    }

    #[test]
    fn home_and_prefix_that_are_kept_apart_are_put_together() {
        let dir = homes();
        let worker = dir.path().join("base-image/worker");
        fs::create_dir_all(worker.join("home/.opam")).unwrap();
        fs::create_dir_all(worker.join("brew/bin")).unwrap();
        fs::write(worker.join("home").join(PROFILE), "B=2\n").unwrap();
        std::os::unix::fs::symlink("/usr/local", worker.join("home/local")).unwrap();
        assert!(fetch(dir.path(), "worker").unwrap_err().contains("not found"));
        fs::remove_dir_all(dir.path().join("homes")).unwrap();
        fs::rename(dir.path().join("base-image"), dir.path().join("store/base-image")).unwrap();
        let rootfs = fetch(dir.path(), "worker").unwrap();
        assert_eq!(fs::read(rootfs.join(PROFILE)).unwrap(), b"B=2\n");
        assert!(rootfs.join("local/bin").is_dir() && !rootfs.join("local").is_symlink());
        assert!(rootfs.join(".opam").is_dir());
    }

    #[test]
    fn what_is_no_image_is_told_with_the_place_that_was_looked_at() {
        let dir = homes();
        let homes = dir.path().join("homes");
        let error = fetch(dir.path(), "nope").unwrap_err();
        let place =
            format!("base image \"nope\" not found: there is no directory {}/nope; ", homes.display());
        assert!(error.starts_with(&place), "{error}");
        let error = fetch(dir.path(), "bare").unwrap_err();
        let why =
            "is not a base image: .obuilder_profile.sh is not a file there; make one, which may be empty";
        assert_eq!(error, format!("{}/bare {why}", homes.display()));
        for name in ["", ".", "..", "a/b", "/etc"] {
            assert!(fetch(dir.path(), name).unwrap_err().contains("a name must not be empty"), "{name}");
        }
    }
}
