//! An image as an OCI image layout: index, manifest, configuration, and one layer that is the whole home.
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::archive::{self, beside};
use super::{Image, ImageError};
use crate::step::id::hex;
use crate::transfer::remove::remove_tree;

/// Writes `image` to the directory `to`, which is there whole or not at all.
///
/// # Errors
/// Something is there already, or it cannot be written.
pub fn to_directory(image: &Image, to: &Path) -> Result<(), ImageError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(ImageError::Occupied(to.to_owned()));
    }
    let aside = beside(to);
    let written =
        write(image, &aside).and_then(|()| fs::rename(&aside, to).map_err(ImageError::io("make", to)));
    if written.is_err() && aside.exists() {
        remove_tree(&aside)?;
    }
    written
}

fn write(image: &Image, dir: &Path) -> Result<(), ImageError> {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(ImageError::io("make", &blobs))?;
    let layer = layer(image, &blobs)?;
    let config = json!({
        "architecture": architecture(),
        "os": if cfg!(target_vendor = "apple") { "darwin" } else { "linux" },
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.digest()] },
    });
    let config = blob(&blobs, "application/vnd.oci.image.config.v1+json", &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    });
    let mut manifest = blob(&blobs, "application/vnd.oci.image.manifest.v1+json", &manifest)?.descriptor();
    let tag = image.name.version.as_deref().unwrap_or("latest");
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    file(&dir.join("index.json"), index.to_string().as_bytes())?;
    file(&dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// The names that OCI has from Go.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What an image is made of.
struct Blob {
    kind: &'static str,
    sha256: String,
    size: u64,
}

impl Blob {
    fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": self.digest(), "size": self.size })
    }
}

fn blob(blobs: &Path, kind: &'static str, content: &Value) -> Result<Blob, ImageError> {
    let bytes = content.to_string();
    let sha256 = hex(&Sha256::digest(bytes.as_bytes()));
    file(&blobs.join(&sha256), bytes.as_bytes())?;
    Ok(Blob { kind, sha256, size: bytes.len() as u64 })
}

fn layer(image: &Image, blobs: &Path) -> Result<Blob, ImageError> {
    let unnamed = blobs.join("layer");
    let to = File::create(&unnamed).map_err(ImageError::io("make", &unnamed))?;
    let mut to = Hashing { to: BufWriter::with_capacity(1 << 17, to), sha256: Sha256::new(), size: 0 };
    archive::write(&image.home, &mut to)?;
    to.flush().map_err(ImageError::io("write", &unnamed))?;
    let (sha256, size) = (hex(&to.sha256.finalize()), to.size);
    let named = blobs.join(&sha256);
    fs::rename(&unnamed, &named).map_err(ImageError::io("make", &named))?;
    Ok(Blob { kind: "application/vnd.oci.image.layer.v1.tar", sha256, size })
}

fn file(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    fs::write(path, bytes).map_err(ImageError::io("write", path))
}

/// A writer that knows the digest of what went through it.
struct Hashing<W> {
    to: W,
    sha256: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
