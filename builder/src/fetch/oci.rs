//! Images without docker: index, manifest, configuration, and the layers one over the other; as OCI's layouts have
//! them, and as docker saves them.
//!
//! Every blob is checked against its digest (OCI image specification, "Content Descriptors").
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::compression::{detect, plain};
use super::environment::{self, Environment};
use super::stoppable::{Stoppable, stopped};
use super::{FetchError, Request};
use crate::transfer::unpack::{Kind, unpack};

pub(super) mod blobs;
mod checked;
mod manifest;
mod saved;

use blobs::Blobs;
use checked::Checked;
use manifest::Descriptor;

/// Brings the image that `blobs`, read from `path`, has under `tag`, or the only one.
pub(super) fn fetch(
    blobs: &dyn Blobs,
    path: &Path,
    tag: Option<&str>,
    request: &Request,
) -> Result<Environment, FetchError> {
    let image = Image { blobs, path };
    let is_layout = blobs.open(blobs::MARKER).is_ok();
    let (config, layers) = if is_layout { manifest::find(&image, tag)? } else { saved::find(&image, tag)? };
    for layer in &layers {
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
        let mut blob = Checked::new(self.open(&descriptor.path)?);
        blob.read_to_end(&mut bytes).map_err(|e| self.unread(&descriptor.path, e))?;
        blob.ended().check(descriptor).map_err(|why| self.bad(&why))?;
        self.parse(&bytes, &descriptor.path)
    }

    /// A file that is JSON, and that nothing tells the digest of.
    fn unchecked_json(&self, path: &str) -> Result<Value, FetchError> {
        let mut bytes = Vec::new();
        self.open(path)?.read_to_end(&mut bytes).map_err(|e| self.unread(path, e))?;
        self.parse(&bytes, path)
    }

    fn parse(&self, bytes: &[u8], name: &str) -> Result<Value, FetchError> {
        serde_json::from_slice(bytes).map_err(|error| self.bad(&format!("{name}: {error}")))
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + '_>, FetchError> {
        self.blobs.open(path).map_err(|e| self.unread(path, e))
    }

    fn unpack(&self, layer: &Descriptor, request: &Request) -> Result<(), FetchError> {
        let name = self.path.join(&layer.path);
        let failed = |e| self.unread(&layer.path, e);
        let blob = Stoppable::new(self.open(&layer.path)?, &request.cancel);
        let mut blob = Checked::if_wanted(!layer.is_of_content, blob);
        let (kind, mut from) = detect(&mut blob).map_err(failed)?;
        let mut content = Checked::if_wanted(layer.is_of_content, plain(kind, &mut from));
        unpack(&mut content, &name, &request.rootfs, Kind::Layer).map_err(|e| stopped(e, request))?;
        // What follows the end of an archive counts too.
        io::copy(&mut content, &mut io::sink()).map_err(failed)?;
        let content = content.ended();
        io::copy(&mut from, &mut io::sink()).map_err(failed)?;
        drop(from);
        let found = if layer.is_of_content { content } else { blob.ended() };
        found.check(layer).map_err(|why| self.bad(&why))
    }

    fn unread(&self, blob: &str, error: io::Error) -> FetchError {
        FetchError::Io { path: self.path.join(blob), error }
    }

    fn bad(&self, why: &str) -> FetchError {
        FetchError::Image { path: self.path.to_owned(), why: why.to_owned() }
    }
}

fn variables(config: &Value) -> Option<Environment> {
    let listed = config.pointer("/config/Env").and_then(Value::as_array);
    let pairs = listed.into_iter().flatten();
    pairs.map(|pair| environment::from_assignment(pair.as_str()?.as_bytes())).collect()
}

#[cfg(test)]
mod tests;
