//! Trees for tests: what a tree holds, as values to compare, and file systems of a test's own.
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What one object of a tree is, as far as a clone has to keep it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) content: Content,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// The first path of the same file.
    pub(crate) first_name: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
    Node(u64),
}

/// All that lies below `root`, and `root` itself as the empty path. Paths may be longer than `PATH_MAX`.
pub(crate) fn facts(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut found = BTreeMap::new();
    collect(root, &PathBuf::new(), &mut found, &mut HashMap::new());
    found
}

fn collect(
    at: &Path,
    path: &Path,
    found: &mut BTreeMap<PathBuf, Facts>,
    seen: &mut HashMap<(u64, u64), PathBuf>,
) {
    let stat = fs::symlink_metadata(at).unwrap();
    let kind = stat.file_type();
    let xattrs = xattr::list(at).unwrap().map(|name| (name.clone(), xattr::get(at, &name).unwrap().unwrap()));
    let first_name = seen.entry((stat.dev(), stat.ino())).or_insert_with(|| path.to_owned()).clone();
    let content = match kind {
        _ if kind.is_dir() => Content::Directory,
        _ if kind.is_file() => Content::File(fs::read(at).unwrap()),
        _ if kind.is_symlink() => Content::Link(fs::read_link(at).unwrap()),
        _ => Content::Node(stat.rdev()),
    };
    let facts = Facts {
        mode: stat.mode(),
        owner: (stat.uid(), stat.gid()),
        mtime: (stat.mtime(), stat.mtime_nsec()),
        content,
        xattrs: xattrs.collect(),
        first_name,
    };
    found.insert(path.to_owned(), facts);
    if kind.is_dir() {
        let dir = File::open(at).unwrap();
        let here = PathBuf::from(format!("/dev/fd/{}", dir.as_raw_fd()));
        let mut names: Vec<_> =
            fs::read_dir(&here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            collect(&here.join(&name), &path.join(&name), found, seen);
        }
    }
}

/// Runs the test `name` of this binary again, in a process that may have `descriptors` files open.
pub(crate) fn run_with_few_descriptors(name: &str, descriptors: u32) {
    let script = format!("ulimit -n {descriptors} && exec \"$0\" --exact {name}");
    let binary = std::env::current_exe().unwrap();
    let run = std::process::Command::new("sh").arg("-c").arg(script).arg(binary).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

/// Whether a test can run. If not, says so; in CI that is a failure.
pub(crate) fn require(what: &str, there: bool) -> bool {
    if !there {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "this test needs {what}");
        eprintln!("SKIPPED: this test needs {what}");
    }
    there
}

pub(crate) fn require_root() -> bool {
    require("root", nix::unistd::geteuid().is_root())
}

/// File systems that only the calling thread sees, and that go with it.
#[cfg(target_os = "linux")]
pub(crate) mod mounts {
    use super::{Path, require, require_root};
    use nix::mount::{MsFlags, mount};
    use std::process::Command;

    /// Leaves the mounts of others alone from here on, in this thread.
    pub(crate) fn private() {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    }

    /// Mounts a tmpfs of `size` (as in tmpfs(5)) on `dir`; false if that cannot be done here.
    #[must_use]
    pub(crate) fn tmpfs(dir: &Path, size: &str) -> bool {
        if !require_root() {
            return false;
        }
        private();
        let options = format!("size={size},mode=755");
        mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
        true
    }

    /// Whether [`xfs`] can do what it does; if not, says so.
    #[must_use]
    pub(crate) fn can_make_xfs() -> bool {
        let has_tool = Command::new("mkfs.xfs").arg("-V").output().is_ok();
        require_root() && require("mkfs.xfs (xfsprogs)", has_tool)
    }

    pub(crate) fn read_only(dir: &Path) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, dir, None::<&str>, flags, None::<&str>).unwrap();
    }

    pub(crate) fn bind(from: &Path, to: &Path) {
        mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }

    /// Whether [`btrfs`] can do what it does; if not, says so.
    #[must_use]
    pub(crate) fn can_make_btrfs() -> bool {
        let has_tool = Command::new("mkfs.btrfs").arg("-V").output().is_ok();
        require_root() && require("mkfs.btrfs (btrfs-progs)", has_tool)
    }

    /// Mounts a new btrfs on `dir`, its image beside it.
    #[must_use]
    pub(crate) fn btrfs(dir: &Path) -> bool {
        let image = dir.with_extension("image");
        private();
        std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        let made = Command::new("mkfs.btrfs").arg("-q").arg(&image).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mounted = Command::new("mount").args(["-o", "loop"]).arg(&image).arg(dir).status().unwrap();
        require("btrfs and loop devices", mounted.success())
    }

    /// Mounts a file system that can share blocks on `dir`, its image beside it; false if there is none here.
    #[must_use]
    pub(crate) fn xfs(dir: &Path) -> bool {
        let image = dir.with_extension("image");
        if !can_make_xfs() {
            return false;
        }
        private();
        std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        assert!(Command::new("mkfs.xfs").arg("-q").arg(&image).status().unwrap().success());
        let mounted = Command::new("mount").args(["-o", "loop"]).arg(&image).arg(dir).status().unwrap();
        require("xfs and loop devices", mounted.success())
    }
}
