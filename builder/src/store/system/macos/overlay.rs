//! macOS has no overlayfs.
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where a layer and the work directory lie that take what is written.
#[allow(dead_code, reason = "no layers are ever mounted")]
pub(in super::super::super) struct Upper<'a> {
    pub(in super::super::super) layer: &'a Path,
    pub(in super::super::super) work: &'a Path,
}

pub(in super::super::super) fn mount(_lower: &[PathBuf], _upper: Option<&Upper<'_>>) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

pub(in super::super::super) fn attach(_tree: &File, _at: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[allow(clippy::unnecessary_wraps, reason = "fails on other systems")]
pub(in super::super::super) fn detach(_at: &Path) -> io::Result<()> {
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "fails on other systems")]
pub(in super::super::super) fn probe(_dir: &Path) -> io::Result<Option<String>> {
    Ok(Some("it is a part of Linux".to_owned()))
}
