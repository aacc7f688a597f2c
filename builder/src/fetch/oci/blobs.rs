//! Where an image's blobs are: in the files of a layout, or in an archive of them.
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::FetchError;

/// The file that makes a directory an OCI image layout.
pub(in super::super) const MARKER: &str = "oci-layout";

/// Files by their paths in a layout.
pub(in super::super) trait Blobs {
    /// Opens one.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// A directory.
pub(in super::super) struct Layout(PathBuf);

impl Layout {
    pub(in super::super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }
}

impl Blobs for Layout {
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(self.0.join(path))?))
    }
}

/// An archive that is not compressed, and where in it each file is.
pub(in super::super) struct Archive {
    file: RefCell<File>,
    places: HashMap<PathBuf, (u64, u64)>,
}

impl Archive {
    /// Looks through the archive in `file`. `None` if there is no layout in it.
    pub(in super::super) fn open(file: File, path: &Path) -> Result<Option<Self>, FetchError> {
        let places = places(&file).map_err(|error| FetchError::Image {
            path: path.to_owned(),
            why: format!("it is neither an archive nor a directory: {error}"),
        })?;
        let is_layout = places.contains_key(Path::new(MARKER));
        Ok(is_layout.then_some(Self { file: RefCell::new(file), places }))
    }
}

fn places(file: &File) -> io::Result<HashMap<PathBuf, (u64, u64)>> {
    let mut archive = tar::Archive::new(file);
    let mut places = HashMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        if entry.header().entry_type().is_file() {
            let path =
                entry.path()?.components().filter(|part| *part != std::path::Component::CurDir).collect();
            places.insert(path, (entry.raw_file_position(), entry.size()));
        }
    }
    Ok(places)
}

impl Blobs for Archive {
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        let &(at, size) = self.places.get(Path::new(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Part { file: &self.file, at, left: size }))
    }
}

/// A file in the archive. Several may be read by turns.
struct Part<'a> {
    file: &'a RefCell<File>,
    at: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(buffer.len()).min(buffer.len());
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.read(&mut buffer[..wanted])?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
