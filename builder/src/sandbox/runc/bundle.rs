//! The directory of one container: its `config.json`, and the files that are bound into it.
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::config::{self, Container};
use super::{SandboxError, prepare, unique_name};

/// The `/etc/hosts` of every step.
const HOSTS: &str = "127.0.0.1 localhost builder";
/// Who a step that shares the host's network asks for addresses.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const SECRETS: &str = "secrets";

/// A file or directory of the host, and where the step sees it.
type Bind = (PathBuf, PathBuf);

/// A directory of root's own, removed when dropped. While it lives it is locked; one that is not was left by a
/// builder that was killed.
pub(super) struct Bundle {
    dir: PathBuf,
    _lock: File,
}

impl Bundle {
    /// Makes one in `state`.
    pub(super) fn make(state: &Path) -> Result<Self, SandboxError> {
        loop {
            let dir = state.join(unique_name());
            let failed = |e: io::Error| prepare(format!("make {}", dir.display()), e);
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
            if let Some(lock) = lock(&dir).map_err(failed)? {
                return Ok(Self { dir, _lock: lock });
            }
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The container's name.
    pub(super) fn name(&self) -> &OsStr {
        self.dir.file_name().unwrap_or_default()
    }

    /// The files every step sees in place of the image's.
    pub(super) fn files(&self, host_network: bool) -> Result<Vec<Bind>, SandboxError> {
        let hosts = self.dir.join("hosts");
        let written = fs::write(&hosts, HOSTS)
            .and_then(|()| fs::set_permissions(&hosts, Permissions::from_mode(0o644)));
        written.map_err(|e| prepare(format!("write {}", hosts.display()), e))?;
        let mut files = vec![(hosts, PathBuf::from("/etc/hosts"))];
        if host_network && Path::new(RESOLV_CONF).is_file() {
            files.push((RESOLV_CONF.into(), RESOLV_CONF.into()));
        }
        Ok(files)
    }

    /// Writes the secrets to memory, each for `user` alone to read.
    pub(super) fn secrets(
        &self,
        secrets: &[(PathBuf, Vec<u8>)],
        user: (u32, u32),
    ) -> Result<Vec<Bind>, SandboxError> {
        if secrets.is_empty() {
            return Ok(Vec::new());
        }
        let dir = self.dir.join(SECRETS);
        let failed = |e: io::Error| prepare(format!("write a secret to {}", dir.display()), e);
        DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), &dir, Some("tmpfs"), flags, Some("mode=0700")).map_err(|e| failed(e.into()))?;
        let written = secrets.iter().enumerate().map(|(number, (target, bytes))| {
            let path = dir.join(number.to_string());
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
            file.write_all(bytes)?;
            fchown(&file, Some(user.0), Some(user.1))?;
            Ok((path, target.clone()))
        });
        written.collect::<io::Result<_>>().map_err(failed)
    }

    /// Writes down what the runtime is to make.
    pub(super) fn configure(&self, container: &Container) -> Result<(), SandboxError> {
        let json = config::to_json(container).map_err(|error| SandboxError::Unusable {
            what: "this step".to_owned(),
            reason: error.to_string(),
        })?;
        let path = self.dir.join("config.json");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(json.to_string().as_bytes()));
        written.map_err(|e| prepare(format!("write {}", path.display()), e))
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dir) {
            tracing::warn!("{}: cannot be removed: {error}", self.dir.display());
        }
    }
}

/// Locks a bundle's directory. `None` if somebody else has it, or removed it meanwhile.
pub(super) fn lock(dir: &Path) -> io::Result<Option<File>> {
    let file = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    let ours = file.metadata()?;
    match fs::metadata(dir) {
        Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(Some(file)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(None),
    }
}

/// Removes a bundle, and the memory its secrets are in.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match umount2(&dir.join(SECRETS), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        // Nothing is there, or nothing is mounted there.
        Ok(()) | Err(Errno::ENOENT | Errno::EINVAL) => {}
        Err(errno) => return Err(errno.into()),
    }
    fs::remove_dir_all(dir)
}
