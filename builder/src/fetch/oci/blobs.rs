//! Where an image's blobs are: in the files of a layout, or in an archive of them.
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::super::FetchError;
use super::manifest::is_digest;
use super::saved::MANIFEST;

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
    /// Looks through the archive in `file`. `None` if there is no image in it.
    pub(in super::super) fn open(file: File, path: &Path) -> Result<Option<Self>, FetchError> {
        let places = places(&file).map_err(|error| FetchError::Image {
            path: path.to_owned(),
            why: format!("it is neither an archive nor a directory: {error}"),
        })?;
        let is_image = [MARKER, MANIFEST].iter().any(|name| places.contains_key(Path::new(name)));
        Ok(is_image.then_some(Self { file: RefCell::new(file), places }))
    }
}

/// Whether the archive `from` is that of an image, told by the names in it: of another one only the first is read.
pub(in super::super) fn is_image(from: impl Read) -> bool {
    let mut archive = tar::Archive::new(from);
    let Ok(entries) = archive.entries() else { return false };
    let mut is_one = false;
    for entry in entries {
        let Ok(path) = entry.and_then(|entry| entry.path().map(|path| plain(&path))) else { return false };
        let first = path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        match first.as_deref() {
            Some(MARKER | MANIFEST) => is_one = true,
            None | Some("blobs" | "index.json" | "repositories") => {}
            Some(name) if is_digest(name.split('.').next().unwrap_or(name)) => {}
            Some(_) => return false,
        }
    }
    is_one
}

fn places(file: &File) -> io::Result<HashMap<PathBuf, (u64, u64)>> {
    let mut archive = tar::Archive::new(file);
    let (mut places, mut links) = (HashMap::new(), Vec::new());
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let (kind, path) = (entry.header().entry_type(), plain(&entry.path()?));
        if kind.is_file() {
            places.insert(path, (entry.raw_file_position(), entry.size()));
        } else if let Some(goal) = entry.link_name()?.filter(|_| kind.is_symlink() || kind.is_hard_link()) {
            // Older dockers save a layer that several images have once, and links to it.
            let from = if kind.is_symlink() { path.parent().unwrap_or(Path::new("")) } else { Path::new("") };
            links.push((plain(&from.join(goal)), path));
        }
    }
    for (goal, path) in links {
        if let Some(&place) = places.get(&goal) {
            places.insert(path, place);
        }
    }
    Ok(places)
}

/// `path` without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => found.push(name),
            Component::ParentDir => drop(found.pop()),
            _ => {}
        }
    }
    found
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
