//! A directory in memory that looks like another, so that entries can be added without touching that one.
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};

use super::supervisor::not_started;
use crate::sandbox::plan::Report;

/// Covers `dir`, in this mount namespace, by a tmpfs in which every entry of `dir` is bound or, if it is a
/// link, made again. `at` is where it is put together; it must not exist.
pub(super) fn mirror(dir: &Path, at: &Path) -> Result<(), Report> {
    let failed = |e: io::Error| not_started(format!("mirror {}", dir.display()), e);
    fs::DirBuilder::new().mode(0o700).create(at).map_err(failed)?;
    let mode = format!("mode={:o}", fs::metadata(dir).map_err(failed)?.mode() & 0o7777);
    let call = |source: &Path, target: &Path, kind: Option<&str>, flags, data: Option<&str>| {
        mount(Some(source), target, kind, flags, data).map_err(io::Error::from)
    };
    call("tmpfs".as_ref(), at, Some("tmpfs"), MsFlags::empty(), Some(&mode)).map_err(failed)?;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let copy = at.join(entry.file_name());
        match reflect(&entry, &copy) {
            // Somebody removed it in the meantime.
            Err(e) if e.kind() == io::ErrorKind::NotFound => remove(&copy).map_err(failed)?,
            reflected => reflected.map_err(failed)?,
        }
    }
    if dir == Path::new("/") {
        // What lies on the root itself is reached only by those whose root it is.
        return enter(at).map_err(failed);
    }
    call(at, dir, None, MsFlags::MS_MOVE, None).map_err(failed)
}

fn reflect(entry: &fs::DirEntry, copy: &Path) -> io::Result<()> {
    let kind = entry.file_type()?;
    if kind.is_symlink() {
        return symlink(fs::read_link(entry.path())?, copy);
    }
    if kind.is_dir() {
        fs::create_dir(copy)?;
    } else {
        File::create(copy)?;
    }
    mount(Some(&entry.path()), copy, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    Ok(())
}

fn remove(copy: &Path) -> io::Result<()> {
    match fs::symlink_metadata(copy) {
        Ok(meta) if meta.is_dir() => fs::remove_dir(copy),
        Ok(_) => fs::remove_file(copy),
        Err(_) => Ok(()),
    }
}

fn enter(root: &Path) -> io::Result<()> {
    chdir(root)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    chroot(".")?;
    Ok(chdir("/")?)
}
