//! Blobs are what their descriptors say they are, or are refused.
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::manifest::Descriptor;
use crate::step::id::hex;

/// Counts and hashes what is read.
pub(super) struct Checked<R> {
    from: R,
    /// `None` where nobody will ask.
    hash: Option<Sha256>,
    size: u64,
}

impl<R> Checked<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, hash: Some(Sha256::new()), size: 0 }
    }

    /// The same, but that it will be asked for only if `wanted`.
    pub(super) fn if_wanted(wanted: bool, from: R) -> Self {
        Self { from, hash: wanted.then(Sha256::new), size: 0 }
    }

    /// What was read: all there was, by now.
    pub(super) fn ended(self) -> Whole {
        Whole { sha256: self.hash.map(|hash| hex(&hash.finalize())).unwrap_or_default(), size: self.size }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..read]);
        }
        self.size += read as u64;
        Ok(read)
    }
}

/// What was read to its end.
pub(super) struct Whole {
    sha256: String,
    size: u64,
}

impl Whole {
    /// Whether it is what was described; if not, says so.
    pub(super) fn check(&self, wanted: &Descriptor) -> Result<(), String> {
        let Self { sha256, size } = self;
        if *sha256 == wanted.sha256 && wanted.size.is_none_or(|wanted| *size == wanted) {
            return Ok(());
        }
        Err(format!("{} is damaged: it has {size} bytes and the digest {sha256}", wanted.path))
    }
}
