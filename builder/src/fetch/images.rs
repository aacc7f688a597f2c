//! Base images that are whole root file systems: a place of this machine, or else docker's.
//!
//! A name that begins with `/` is a place: the directory of a root file system, an archive of one, or an OCI
//! image, as a layout or an archive of one, with `:TAG` after it if it holds several. `oci:` or `oci-archive:`
//! before the `/` may be written, and change nothing.
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::environment::Environment;
use super::oci::{self, blobs};
use super::{Fetch, FetchError, Request, docker};
use crate::transfer::clone::clone_tree;
use crate::transfer::unpack::{Kind, unpack};

/// Root file systems, by docker's names or as places.
#[derive(Debug, Default)]
pub struct Images;

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Docker,
    /// A place, and the tag of the image wanted of it.
    Place(PathBuf, Option<String>),
    /// A place that means something else from every directory.
    Relative,
}

impl Fetch for Images {
    fn fetch(&self, request: Request) -> Result<Environment, FetchError> {
        match Source::of(&request.name, &|path| path.exists()) {
            Source::Docker => docker::fetch(&request),
            Source::Place(path, tag) => from_place(&path, tag.as_deref(), &request),
            Source::Relative => Err(FetchError::Relative { name: request.name }),
        }
    }
}

impl Source {
    fn of(name: &OsStr, exists: &dyn Fn(&Path) -> bool) -> Self {
        let bytes = name.as_bytes();
        let prefixes: [&[u8]; 3] = [b"oci:", b"oci-archive:", b""];
        let place = prefixes
            .iter()
            .find_map(|prefix| bytes.strip_prefix(*prefix).filter(|rest| rest.starts_with(b"/")));
        let Some(place) = place else {
            let is_relative = [&b"./"[..], b"../"].iter().any(|start| bytes.starts_with(start));
            return if is_relative { Self::Relative } else { Self::Docker };
        };
        let whole = PathBuf::from(OsStr::from_bytes(place));
        let colon = place.iter().rposition(|&b| b == b':').filter(|at| !place[*at..].contains(&b'/'));
        match colon {
            Some(at) if !exists(&whole) => {
                let tag = String::from_utf8_lossy(&place[at + 1..]).into_owned();
                Self::Place(PathBuf::from(OsStr::from_bytes(&place[..at])), Some(tag))
            }
            _ => Self::Place(whole, None),
        }
    }
}

fn from_place(path: &Path, tag: Option<&str>, request: &Request) -> Result<Environment, FetchError> {
    let failed = |error| FetchError::Io { path: path.to_owned(), error };
    let rootfs = &request.rootfs;
    if path.metadata().map_err(failed)?.is_dir() {
        if path.join(blobs::MARKER).is_file() {
            return oci::fetch(&blobs::Layout::new(path), path, tag, request);
        }
        clone_tree(path, rootfs, None)?;
        return Ok(Environment::new());
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut magic = [0; 2];
    let read = file.read(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    if magic[..read] == oci::GZIP {
        let tar = oci::Stoppable::new(MultiGzDecoder::new(file), &request.cancel);
        return unpack(tar, path, rootfs, Kind::Tree)
            .map(|()| Environment::new())
            .map_err(|e| stopped(e, request));
    }
    match blobs::Archive::open(file, path)? {
        Some(archive) => oci::fetch(&archive, path, tag, request),
        None => {
            let file = File::open(path).map_err(failed)?;
            let tar = oci::Stoppable::new(file, &request.cancel);
            unpack(tar, path, rootfs, Kind::Tree).map_err(|e| stopped(e, request))?;
            Ok(Environment::new())
        }
    }
}

/// What failed because it was stopped was stopped.
pub(super) fn stopped(error: crate::transfer::TransferError, request: &Request) -> FetchError {
    if request.cancel.is_cancelled() { FetchError::Cancelled } else { error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_in_front_is_a_place_and_others_are_dockers() {
        let of = |name: &str| Source::of(OsStr::new(name), &|path| path == Path::new("/has:colon"));
        let place = |path: &str, tag: Option<&str>| Source::Place(path.into(), tag.map(str::to_owned));
        for name in ["busybox", "oci:latest", "host:5000/a/b:tag", "oci-archive", "a@sha256:0"] {
            assert_eq!(of(name), Source::Docker, "{name}");
        }
        assert_eq!(of("/srv/rootfs"), place("/srv/rootfs", None));
        assert_eq!(of("oci:/srv/layout:v1.2"), place("/srv/layout", Some("v1.2")));
        assert_eq!(of("oci-archive:/srv/a.tar"), place("/srv/a.tar", None));
        assert_eq!(of("/srv/a:b/c"), place("/srv/a:b/c", None));
        assert_eq!(of("/has:colon"), place("/has:colon", None));
        assert_eq!(of("./rootfs"), Source::Relative);
        assert_eq!(of("../rootfs"), Source::Relative);
    }
}
