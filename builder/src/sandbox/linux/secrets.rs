//! Secrets: files in memory that only the step can read, bound where it looks for them.
//!
//! They lie on a tmpfs of the step's own mount namespace. Where a mount point is missing it is made, and
//! removed again; where the user may not make it, the directory is mirrored. So no trace is left anywhere.
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, UnlinkatFlags, setegid, seteuid, unlinkat};

use super::mirror::mirror;
use super::mounts::{bind, path_of};
use super::supervisor::not_started;
use crate::sandbox::plan::{Plan, Report};

/// Secrets written, and not yet in place.
pub(super) struct Secrets {
    scratch: OwnedFd,
    memory: Option<OwnedFd>,
    files: Vec<(OwnedFd, PathBuf)>,
}

/// Secrets in place.
#[derive(Default)]
pub(super) struct Bound {
    points: Vec<Entry>,
    made: Vec<(Entry, UnlinkatFlags)>,
}

/// A name in a directory. The descriptor finds it even after the step has renamed the directory.
struct Entry {
    dir: OwnedFd,
    name: PathBuf,
}

impl Secrets {
    /// Writes the plan's secrets to memory, each readable by the user alone.
    pub(super) fn write(plan: &Plan) -> Result<Self, Report> {
        let dir = plan.scratch.join("secrets");
        let failed = |e: io::Error| not_started(format!("write a secret to {}", dir.display()), e);
        let scratch = opened(&plan.scratch, OFlag::O_DIRECTORY).map_err(|e| failed(e.into()))?;
        if plan.secrets.is_empty() {
            return Ok(Self { scratch, memory: None, files: Vec::new() });
        }
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), &dir, Some("tmpfs"), flags, Some("mode=0700")).map_err(|e| failed(e.into()))?;
        let mut files = Vec::new();
        for (number, (target, bytes)) in plan.secrets.iter().enumerate() {
            let path = dir.join(number.to_string());
            let mut file =
                File::options().write(true).create_new(true).mode(0o400).open(&path).map_err(failed)?;
            file.write_all(bytes)
                .and_then(|()| fchown(&file, Some(plan.uid), Some(plan.gid)))
                .map_err(failed)?;
            files.push((opened(&path, OFlag::empty()).map_err(|e| failed(e.into()))?, target.clone()));
        }
        let memory = opened(&dir, OFlag::O_DIRECTORY).map_err(|e| failed(e.into()))?;
        Ok(Self { scratch, memory: Some(memory), files })
    }

    /// Puts them where the step looks for them. All mount points come first, so that no mirror copies a secret.
    pub(super) fn bind(self, plan: &Plan) -> Result<Bound, Report> {
        let Some(memory) = &self.memory else { return Ok(Bound::default()) };
        let mut bound = Bound::default();
        for (number, (_, target)) in self.files.iter().enumerate() {
            let at = path_of(&self.scratch).join(format!("mirror-{number}"));
            bound.prepare(plan, target, &at)?;
        }
        for (file, target) in &self.files {
            // There may be a link: what it leads to is covered, and uncovered again.
            let point = target.canonicalize().map_err(|e| unshown(target, e))?;
            bind(file, &point)?;
            bound.points.push(Entry::of(&point).map_err(|e| unshown(target, e))?);
        }
        umount2(&path_of(memory), MntFlags::MNT_DETACH).map_err(|e| not_started("hide the secrets", e))?;
        Ok(bound)
    }
}

fn unshown(target: &Path, error: impl ToString) -> Report {
    not_started(format!("show a secret at {}", target.display()), error)
}

impl Bound {
    /// Sees to it that there is a file at `target`; `at` is where a mirror may be put together.
    fn prepare(&mut self, plan: &Plan, target: &Path, at: &Path) -> Result<(), Report> {
        let Some(parent) = target.parent().filter(|_| target.is_absolute()) else {
            return Err(unshown(target, "it is not the absolute path of a file"));
        };
        match as_user(plan, || self.make(parent, target)) {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                mirror(nearest(parent), at)?;
                self.make(parent, target).map_err(|e| unshown(target, e))
            }
            made => made.map_err(|e| unshown(target, e)),
        }
    }

    /// Makes `target`, an empty file, and the directories above it, as far as they are missing.
    fn make(&mut self, parent: &Path, target: &Path) -> io::Result<()> {
        let mut missing: Vec<&Path> = parent.ancestors().take_while(|dir| !dir.exists()).collect();
        while let Some(dir) = missing.pop() {
            fs::DirBuilder::new().mode(0o755).create(dir)?;
            self.made.push((Entry::of(dir)?, UnlinkatFlags::RemoveDir));
        }
        match File::options().write(true).create_new(true).mode(0o600).open(target) {
            Ok(_) => self.made.push((Entry::of(target)?, UnlinkatFlags::NoRemoveDir)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && target.is_file() => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Takes the secrets away and removes what was made for them; a directory that the step filled stays.
    pub(super) fn remove(self) -> Result<(), Report> {
        for point in self.points.iter().rev() {
            let path = path_of(&point.dir).join(&point.name);
            umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                .map_err(|e| not_started(format!("take the secret {} away", point.name.display()), e))?;
        }
        for (entry, kind) in self.made.iter().rev() {
            match unlinkat(&entry.dir, &entry.name, *kind) {
                Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => {}
                Err(e) => return Err(not_started(format!("remove {}", entry.name.display()), e)),
            }
        }
        Ok(())
    }
}

impl Entry {
    fn of(path: &Path) -> nix::Result<Self> {
        let (dir, name) = path.parent().zip(path.file_name()).ok_or(Errno::EISDIR)?;
        Ok(Self { dir: opened(dir, OFlag::O_DIRECTORY)?, name: name.into() })
    }
}

fn opened(path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    open(path, flags | OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

/// The nearest directory above (or at) `path` that exists.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"))
}

/// Does `act` with the user's rights, for what it touches may be links of the user's making.
pub(super) fn as_user(plan: &Plan, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    setegid(Gid::from_raw(plan.gid))?;
    seteuid(Uid::from_raw(plan.uid))?;
    let done = act();
    seteuid(Uid::from_raw(0))?;
    setegid(Gid::from_raw(0))?;
    done
}
