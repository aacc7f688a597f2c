//! Images from elsewhere: an archive of a home, or an OCI image as a layout or an archive of one.
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use super::{Draft, ImageError};
use crate::fetch::environment::Environment;
use crate::fetch::{Fetch, Images, LOCAL, PROFILE, Request};
use crate::sandbox::Cancel;

/// Unpacks the file or layout `from` into `draft`. An image that brings variables and no profile gets one that sets
/// them.
///
/// # Errors
/// There is nothing there, it is damaged, or the draft cannot be written.
pub fn into_draft(from: &Path, draft: &Draft, cancel: &Cancel) -> Result<(), ImageError> {
    let from = from.canonicalize().map_err(ImageError::io("read", from))?;
    let rootfs = draft.rootfs();
    let output = fs::OpenOptions::new().write(true).open("/dev/null");
    let output = output.map_err(ImageError::io("open", Path::new("/dev/null")))?;
    let request = Request {
        name: from.into_os_string(),
        rootfs: rootfs.clone(),
        owner: (0, 0),
        output: output.into(),
        cancel: cancel.clone(),
    };
    let variables = Images.fetch(request)?;
    let owner = fs::metadata(&rootfs).map_err(ImageError::io("read", &rootfs))?;
    let owned = |path: &Path| chown(path, Some(owner.uid()), Some(owner.gid()));
    let profile = rootfs.join(PROFILE);
    if fs::symlink_metadata(&profile).is_err() {
        let written = fs::write(&profile, exports(&variables)).and_then(|()| owned(&profile));
        written.map_err(ImageError::io("write", &profile))?;
    }
    let local = rootfs.join(LOCAL);
    if fs::symlink_metadata(&local).is_err() {
        let mode = fs::Permissions::from_mode(0o755);
        let made = fs::create_dir(&local).and_then(|()| fs::set_permissions(&local, mode));
        made.and_then(|()| owned(&local)).map_err(ImageError::io("make", &local))?;
    }
    Ok(())
}

/// A profile that sets `variables`.
fn exports(variables: &Environment) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in variables {
        // Writing to memory does not fail.
        let _ = export(&mut text, name, value);
    }
    text
}

fn export(to: &mut impl Write, name: &OsStr, value: &OsStr) -> io::Result<()> {
    to.write_all(b"export ")?;
    to.write_all(name.as_bytes())?;
    to.write_all(b"='")?;
    // A quote ends the quoting, stands for itself, and begins it again.
    let parts: Vec<&[u8]> = value.as_bytes().split(|&b| b == b'\'').collect();
    to.write_all(&parts.join(&b"'\\''"[..]))?;
    to.write_all(b"'\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_set_as_they_are() {
        let variables =
            vec![("PATH".into(), "/bin:/usr/bin".into()), ("Q".into(), "it's $HOME\n\"x\"".into())];
        let text = exports(&variables);
        let script = format!("{}printf %s \"$Q\"", String::from_utf8(text).unwrap());
        let said = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert_eq!(said.stdout, b"it's $HOME\n\"x\"");
    }
}
