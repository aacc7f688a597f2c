//! Opening a home by its path. A link on that path may lead into a mount of ours, and to walk on would be to wait
//! for an answer that only we can give: so the path is walked step by step, and ends there.
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::mounts::mounted_at;
use super::objects::{ANCHOR, c_string, open_plain, readlink, reopen};
use crate::session::MOUNT_TYPE;

/// As many links as the kernel follows in one path, `path_resolution(7)`.
const LINKS: usize = 40;

/// Opens the directory `path`, absolute, for reading.
///
/// # Errors
/// `ELOOP` if the path leads through one of `mountpoints`; else as `open(2)`.
pub(crate) fn open_home(path: &Path, mountpoints: &[PathBuf]) -> Result<OwnedFd, Errno> {
    let root = nix::fcntl::open("/", ANCHOR, nix::sys::stat::Mode::empty())?;
    // Where nothing is mounted any more is the device that homes lie on.
    let mounted =
        mountpoints.iter().filter(|at| mounted_at(at).is_some_and(|there| there.kind == MOUNT_TYPE));
    let own: Vec<Place> = mounted.filter_map(|at| look(root.as_fd(), at.as_os_str()).ok()).collect();
    let (mut at, mut links) = (root.try_clone().map_err(|_| Errno::EMFILE)?, 0);
    let mut ahead = steps(path);
    while let Some(step) = ahead.pop() {
        if step == "/" {
            at = root.try_clone().map_err(|_| Errno::EMFILE)?;
            continue;
        }
        let next = open_plain(at.as_fd(), &step, ANCHOR, 0)?;
        let place = look(next.as_fd(), OsStr::new(""))?;
        if own.iter().any(|own| own.device == place.device) {
            return Err(Errno::ELOOP);
        }
        if !place.is_link {
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(Errno::ELOOP);
        }
        ahead.extend(steps(Path::new(&readlink(next.as_fd())?)));
    }
    reopen(at.as_fd(), OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// The names in `path`, the last one first; `/` for its root.
fn steps(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter(|step| *step != Component::CurDir)
        .map(|step| step.as_os_str().into())
        .collect()
}

#[derive(Debug)]
struct Place {
    device: (u32, u32),
    is_link: bool,
}

/// What is at `path`, below `dir`, by what the kernel knows without asking any file system.
fn look(dir: BorrowedFd<'_>, path: &OsStr) -> Result<Place, Errno> {
    let path = c_string(path)?;
    let mut raw = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | libc::AT_STATX_DONT_SYNC;
    // SAFETY: `raw` is a whole `struct statx`, for which all zeroes are valid; `path` outlives the call.
    let raw = unsafe {
        let mask = libc::STATX_TYPE;
        Errno::result(libc::statx(dir.as_raw_fd(), path.as_ptr(), flags, mask, raw.as_mut_ptr()))?;
        raw.assume_init()
    };
    Ok(Place {
        device: (raw.stx_dev_major, raw.stx_dev_minor),
        is_link: u32::from(raw.stx_mode) & libc::S_IFMT == libc::S_IFLNK,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_home_is_found_as_the_kernel_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        symlink("a", at("relative")).unwrap();
        symlink(at("relative/b"), at("absolute")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("../a/./b/..", at("a/up")).unwrap();
        for name in
            ["a", "a/b", "relative/b", "absolute", "a/up/b", "a/../a/b/", "loop", "file", "none", "a/c", ""]
        {
            let ours = open_home(&at(name), &[]).map(|fd| std::fs::File::from(fd).metadata().unwrap().ino());
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            let theirs = nix::fcntl::open(&at(name), flags, nix::sys::stat::Mode::empty());
            assert_eq!(ours, theirs.map(|fd| std::fs::File::from(fd).metadata().unwrap().ino()), "{name}");
        }
    }
}
