//! OCI images without docker: index, manifest, configuration, and the layers one over the other.
//!
//! Every blob is checked against its digest (OCI image specification, "Content Descriptors").
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::environment::{self, Environment};
use super::images::stopped;
use super::{FetchError, Request};
use crate::sandbox::Cancel;
use crate::step::id::hex;
use crate::transfer::unpack::{Kind, unpack};

pub(super) mod blobs;
mod manifest;

use blobs::Blobs;
use manifest::Descriptor;

/// How gzip's files begin.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Brings the image that `blobs`, read from `path`, has under `tag`, or the only one.
pub(super) fn fetch(
    blobs: &dyn Blobs,
    path: &Path,
    tag: Option<&str>,
    request: &Request,
) -> Result<Environment, FetchError> {
    let image = Image { blobs, path };
    let manifest = manifest::find(&image, tag)?;
    let config = image.json(&manifest.config)?;
    for layer in &manifest.layers {
        image.unpack(layer, request)?;
    }
    variables(&config).ok_or_else(|| image.bad("its configuration has a variable that is not NAME=VALUE"))
}

/// An image being read.
struct Image<'a> {
    blobs: &'a dyn Blobs,
    path: &'a Path,
}

impl Image<'_> {
    /// A blob that is JSON.
    fn json(&self, descriptor: &Descriptor) -> Result<Value, FetchError> {
        let mut bytes = Vec::new();
        let mut blob = self.open(descriptor)?;
        blob.read_to_end(&mut bytes).map_err(|e| self.unread(&descriptor.path(), e))?;
        blob.check(descriptor).map_err(|why| self.bad(&why))?;
        self.parse(&bytes, &descriptor.path())
    }

    fn parse(&self, bytes: &[u8], name: &str) -> Result<Value, FetchError> {
        serde_json::from_slice(bytes).map_err(|error| self.bad(&format!("{name}: {error}")))
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Checked<Box<dyn Read + '_>>, FetchError> {
        let blob = self.blobs.open(&descriptor.path());
        Ok(Checked::new(blob.map_err(|e| self.unread(&descriptor.path(), e))?))
    }

    fn unpack(&self, layer: &Descriptor, request: &Request) -> Result<(), FetchError> {
        let name = self.path.join(layer.path());
        let mut blob = Stoppable::new(self.open(layer)?, &request.cancel);
        let mut start = [0; 4];
        let read = read_up_to(&mut blob, &mut start).map_err(|e| self.unread(&layer.path(), e))?;
        if start[..read] == ZSTD {
            return Err(self.bad("a layer is compressed with zstd; convert it, as with skopeo copy --dest-compress-format=gzip"));
        }
        let start = &start[..read];
        let mut whole = BufReader::with_capacity(128 * 1024, start.chain(&mut blob));
        let unpacked = if start.starts_with(&GZIP) {
            unpack(MultiGzDecoder::new(&mut whole), &name, &request.rootfs, Kind::Layer)
        } else {
            unpack(&mut whole, &name, &request.rootfs, Kind::Layer)
        };
        unpacked.map_err(|e| stopped(e, request))?;
        // What follows the end of an archive counts too.
        io::copy(&mut whole, &mut io::sink()).map_err(|e| self.unread(&layer.path(), e))?;
        drop(whole);
        blob.from.check(layer).map_err(|why| self.bad(&why))
    }

    fn unread(&self, blob: &str, error: io::Error) -> FetchError {
        FetchError::Io { path: self.path.join(blob), error }
    }

    fn bad(&self, why: &str) -> FetchError {
        FetchError::Image { path: self.path.to_owned(), why: why.to_owned() }
    }
}

fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

fn variables(config: &Value) -> Option<Environment> {
    let listed = config.pointer("/config/Env").and_then(Value::as_array);
    let pairs = listed.into_iter().flatten();
    pairs.map(|pair| environment::from_assignment(pair.as_str()?.as_bytes())).collect()
}

/// Counts and hashes what is read.
struct Checked<R> {
    from: R,
    hash: Sha256,
    size: u64,
}

impl<R> Checked<R> {
    fn new(from: R) -> Self {
        Self { from, hash: Sha256::new(), size: 0 }
    }

    /// Whether that was the blob described. All of it must have been read.
    fn check(self, wanted: &Descriptor) -> Result<(), String> {
        let found = hex(&self.hash.finalize());
        if found == wanted.sha256 && self.size == wanted.size {
            return Ok(());
        }
        Err(format!("{} is damaged: it has {} bytes and the digest {found}", wanted.path(), self.size))
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

/// Fails once it is to stop.
pub(super) struct Stoppable<'a, R> {
    from: R,
    cancel: &'a Cancel,
}

impl<'a, R> Stoppable<'a, R> {
    pub(super) fn new(from: R, cancel: &'a Cancel) -> Self {
        Self { from, cancel }
    }
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        self.from.read(buffer)
    }
}

#[cfg(test)]
mod tests;
