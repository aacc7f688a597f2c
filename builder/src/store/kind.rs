//! Which kind of store a directory holds, and in which format: written down in it when it is first used, so that
//! no second kind ever begins on top of it.
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{StoreError, StoreUrl};

/// The newest format that this version reads and writes.
const FORMAT: u32 = 1;

/// Makes sure that what is at `url` is of its kind, or of no kind yet, and of no newer version.
pub(super) fn check(url: &StoreUrl) -> Result<(), StoreError> {
    match written(url.dir())? {
        _ if matches!(url, StoreUrl::Auto(_)) => Ok(()),
        Some(kind) if kind != url.kind() => Err(StoreError::OtherKind { url: url.clone(), kind }),
        _ => Ok(()),
    }
}

/// Writes down the kind of the store at `url`, which is there.
pub(super) fn mark(url: &StoreUrl) -> Result<(), StoreError> {
    if written(url.dir())?.is_some() {
        return Ok(());
    }
    let (path, draft) = (place(url.dir()), place(url.dir()).with_extension(std::process::id().to_string()));
    let text = format!("{} {FORMAT}\n", url.kind());
    fs::File::create(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| StoreError::io("write", &draft, e))?;
    // Of two who are the first, one is.
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft).map_err(|e| StoreError::io("remove", &draft, e))?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StoreError::io("write", path, error)),
        _ => check(url),
    }
}

/// The kind that is written down in `dir`; `None` if there is no store, or one of OBuilder's making.
pub(super) fn written(dir: &Path) -> Result<Option<String>, StoreError> {
    let path = place(dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(StoreError::io("read", path, error)),
    };
    let mut words = text.split_whitespace();
    let kind = words.next().map(str::to_owned);
    match words.next().map(str::parse) {
        Some(Ok(format)) if format > FORMAT => {
            Err(StoreError::Newer { dir: dir.to_owned(), format, known: FORMAT })
        }
        Some(Ok(_)) => Ok(kind),
        _ => Err(StoreError::io("make sense of", path, ErrorKind::InvalidData)),
    }
}

fn place(dir: &Path) -> PathBuf {
    dir.join("state/kind")
}
