//! Images made by a script: it runs as a build user, in the home that becomes the image and at its prefix, as steps do.
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::{Draft, ImageError};
use crate::fetch::{Fetch, HomeTemplates, PROFILE, Request};
use crate::sandbox::{Cancel, Command, Sandbox};
use crate::spec::User;
use crate::transfer::remove::remove_tree;

/// Where in the home the script lies while it runs.
const PLACE: &str = ".obuilder-image-script";

/// How an image is made.
#[derive(Debug)]
pub struct Recipe {
    /// The image to begin with.
    pub from: String,
    /// The script; it is copied, so that the build user need not be able to read it here.
    pub script: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Recipe {
    /// Makes the image in `draft`. What the script says goes to standard output.
    ///
    /// # Errors
    /// The image to begin with cannot be had, the script fails or leaves no image, or it was cancelled.
    pub async fn make(
        &self,
        draft: &Draft,
        homes: &HomeTemplates,
        sandbox: &dyn Sandbox,
        cancel: &Cancel,
    ) -> Result<(), ImageError> {
        let owner = sandbox.owner(&User::default())?;
        let rootfs = draft.rootfs();
        let request = Request {
            name: self.from.clone().into(),
            rootfs: rootfs.clone(),
            owner,
            output: said()?,
            cancel: cancel.clone(),
        };
        homes.fetch(request)?;
        let script = self.bring(&rootfs, owner)?;
        let command = Command {
            argv: std::iter::once(script).chain(self.arguments.iter().cloned()).collect(),
            workdir: PathBuf::from("/"),
            user: User::default(),
            env: Vec::new(),
            host_network: true,
            secrets: Vec::new(),
            caches: Vec::new(),
            rootfs: rootfs.clone(),
        };
        let status = sandbox.run(&command, said()?, cancel).await?;
        if !status.success() {
            return Err(ImageError::Script { script: self.script.clone(), status });
        }
        remove_tree(&rootfs.join(PLACE))?;
        if !rootfs.join(PROFILE).is_file() {
            return Err(ImageError::NoImage {
                script: self.script.clone(),
                what: "~/.obuilder_profile.sh is gone",
            });
        }
        Ok(())
    }

    /// Puts the script into the home; returns how the shell of a step reaches it there.
    fn bring(&self, rootfs: &Path, (uid, gid): (u32, u32)) -> Result<OsString, ImageError> {
        let name = self.script.file_name().unwrap_or_default();
        let dir = rootfs.join(PLACE);
        let place = dir.join(name);
        let brought = fs::create_dir(&dir).and_then(|()| {
            fs::copy(&self.script, &place)?;
            for path in [&dir, &place] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
                chown(path, Some(uid), Some(gid))?;
            }
            Ok(())
        });
        brought.map_err(ImageError::io("copy", &self.script))?;
        let mut seen = OsString::from(format!("./{PLACE}/"));
        seen.push(name);
        Ok(seen)
    }
}

/// Standard output, for somebody else to write to.
fn said() -> Result<std::os::fd::OwnedFd, ImageError> {
    io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(ImageError::io("write to", Path::new("standard output")))
}
