//! macOS has no btrfs, so that nothing is ever on it, and no store of that kind opens.
use std::io::{self, ErrorKind};
use std::path::Path;

pub(in super::super::super) fn is_btrfs(_path: &Path) -> io::Result<bool> {
    Ok(false)
}

pub(in super::super::super) fn create(_dir: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(in super::super::super) fn snapshot(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(in super::super::super) fn destroy(_dir: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(in super::super::super) fn read_only(_dir: &Path) -> io::Result<Option<bool>> {
    Ok(None)
}

pub(in super::super::super) fn set_read_only(_dir: &Path, _read_only: bool) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(in super::super::super) fn reclaimed(_dir: &Path) -> io::Result<bool> {
    Ok(true)
}

pub(in super::super::super) fn nested(_dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    Ok(Vec::new())
}
