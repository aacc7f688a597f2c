//! Base images that are whole root file systems: a place of this machine, or else docker's.
//!
//! A name that begins with `/` is a place: the directory of a root file system, an archive of one, an OCI image, as a
//! layout or an archive of one, or what `docker save` writes, with `:TAG` after it if it holds several. Archives may
//! be compressed. `oci:`, `oci-archive:` or `docker-archive:` before the `/` may be written, and change nothing.
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::compression::{Compression, detect, plain};
use super::environment::Environment;
use super::oci::{self, blobs};
use super::stoppable::{Stoppable, stopped};
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
        let prefixes: [&[u8]; 4] = [b"oci:", b"oci-archive:", b"docker-archive:", b""];
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
    if path.metadata().map_err(failed)?.is_dir() {
        if path.join(blobs::MARKER).is_file() {
            return oci::fetch(&blobs::Layout::new(path), path, tag, request);
        }
        clone_tree(path, &request.rootfs, None)?;
        return Ok(Environment::new());
    }
    let open = || File::open(path).map(|file| Stoppable::new(file, &request.cancel)).and_then(detect);
    let (kind, from) = open().map_err(failed)?;
    let file = if kind == Compression::None {
        File::open(path).map_err(failed)?
    } else if blobs::is_image(plain(kind, from)) {
        let (_, from) = open().map_err(failed)?;
        decompressed(plain(kind, from), request)?
    } else {
        let (_, from) = open().map_err(failed)?;
        return unpacked(plain(kind, from), path, request);
    };
    match blobs::Archive::open(file, path)? {
        Some(archive) => oci::fetch(&archive, path, tag, request),
        None => unpacked(Stoppable::new(File::open(path).map_err(failed)?, &request.cancel), path, request),
    }
}

/// The root file system in the archive `tar`, read from `path`. It brings no variables.
fn unpacked(tar: impl Read, path: &Path, request: &Request) -> Result<Environment, FetchError> {
    unpack(tar, path, &request.rootfs, Kind::Tree).map_err(|e| stopped(e, request))?;
    Ok(Environment::new())
}

/// All of `from` in a file beside the tree that has no name any more: in an image one has to look here and there.
fn decompressed(mut from: impl Read, request: &Request) -> Result<File, FetchError> {
    let path = request.rootfs.with_file_name(".decompressed-image");
    let failed = |error| FetchError::Io { path: path.clone(), error };
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
    fs::remove_file(&path).map_err(failed)?;
    io::copy(&mut from, &mut file).map_err(|error| match request.cancel.is_cancelled() {
        true => FetchError::Cancelled,
        false => failed(error),
    })?;
    file.rewind().map_err(failed)?;
    Ok(file)
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
        assert_eq!(of("docker-archive:/srv/a.tar:v1"), place("/srv/a.tar", Some("v1")));
        assert_eq!(of("/srv/a:b/c"), place("/srv/a:b/c", None));
        assert_eq!(of("/has:colon"), place("/has:colon", None));
        assert_eq!(of("./rootfs"), Source::Relative);
        assert_eq!(of("../rootfs"), Source::Relative);
    }
}
