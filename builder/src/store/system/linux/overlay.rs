//! Linux: overlayfs, mounted by fsopen(2) and its like, which take any number of layers (Linux 6.5).
#![allow(unsafe_code)]
use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;

/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_uint = 1;
/// Commands of fsconfig(2).
const SET_FLAG: libc::c_uint = 0;
const SET_STRING: libc::c_uint = 1;
const CREATE: libc::c_uint = 6;
/// `MOUNT_ATTR_RDONLY`.
const READ_ONLY: libc::c_uint = 1;
/// `MOVE_MOUNT_F_EMPTY_PATH`.
const EMPTY_PATH: libc::c_uint = 4;
/// The longest value that fsconfig(2) takes, with its NUL: 256.
const LONGEST_VALUE: usize = 250;

/// What is the same for every mount. Directories of lower layers can be renamed; a layer holds files whole, never
/// only their metadata; and it is not indexed, as the index would be needed wherever the layer is.
const OPTIONS: [(&CStr, &CStr); 3] = [(c"index", c"off"), (c"metacopy", c"off"), (c"redirect_dir", c"on")];

/// Where a layer and the work directory lie that take what is written.
pub(in super::super::super) struct Upper<'a> {
    pub(in super::super::super) layer: &'a Path,
    pub(in super::super::super) work: &'a Path,
}

/// Mounts the layers `lower`, the topmost first, below `upper`, nowhere: what is returned is the tree's root.
/// Without `upper` two layers are needed, and the tree is read-only.
///
/// The file system is mounted as volatile: else unmounting would wait for all that the machine is writing, and
/// who keeps a layer says by other means when it is on the device.
pub(in super::super::super) fn mount(lower: &[PathBuf], upper: Option<&Upper<'_>>) -> io::Result<File> {
    let context = Context::new()?;
    let mut opened = Vec::new();
    for layer in lower {
        context.set_path(c"lowerdir+", layer, &mut opened)?;
    }
    for (key, value) in OPTIONS {
        context.set(key, value)?;
    }
    if let Some(upper) = upper {
        context.set_path(c"upperdir", upper.layer, &mut opened)?;
        context.set_path(c"workdir", upper.work, &mut opened)?;
        context.set_flag(c"volatile")?;
    }
    context.mount(if upper.is_some() { 0 } else { READ_ONLY })
}

/// Shows a tree that [`mount`] made at the directory `at`.
pub(in super::super::super) fn attach(tree: &File, at: &Path) -> io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes())?;
    // SAFETY: the descriptor is open, and both paths end in NUL and live through the call.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            at.as_ptr(),
            EMPTY_PATH,
        )
    };
    Errno::result(moved)?;
    Ok(())
}

/// Takes away whatever is mounted at `at`, also if it is in use: nothing is fine.
pub(in super::super::super) fn detach(at: &Path) -> io::Result<()> {
    loop {
        match umount2(at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there; or we may not unmount, and so did not mount.
            Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR | Errno::EPERM) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Why no layers can be mounted that lie in `dir`; `None` if they can.
pub(in super::super::super) fn probe(dir: &Path) -> io::Result<Option<String>> {
    let mut name = OsString::from(".obuilder-probe-");
    name.push(std::process::id().to_string());
    let place = dir.join(name);
    let [one, other, layer, work] = ["one", "other", "layer", "work"].map(|name| place.join(name));
    for dir in [&place, &one, &other, &layer, &work] {
        fs::create_dir(dir)?;
    }
    let mounted = mount(&[one, other], Some(&Upper { layer: &layer, work: &work }));
    let why = mounted.err().map(|error| crate::transfer::explain(&error));
    crate::transfer::remove::remove_tree(&place).map_err(io::Error::other)?;
    Ok(why)
}

/// A file system that is being configured.
struct Context(File);

impl Context {
    fn new() -> io::Result<Self> {
        // SAFETY: the name ends in NUL.
        let context = unsafe { libc::syscall(libc::SYS_fsopen, c"overlay".as_ptr(), CLOSE_ON_EXEC) };
        let refused = match Errno::result(context) {
            Ok(context) => return owned(context).map(Self),
            Err(refused) => refused,
        };
        Err(match refused {
            Errno::ENODEV => io::Error::other("the kernel has no overlayfs (modprobe overlay)"),
            Errno::ENOSYS => io::Error::other("Linux 6.5 is needed"),
            other => other.into(),
        })
    }

    /// Gives a path as it is, whatever its length and characters.
    fn set_path(&self, key: &CStr, path: &Path, opened: &mut Vec<std::os::fd::OwnedFd>) -> io::Result<()> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() <= LONGEST_VALUE && !bytes.contains(&b'\\') {
            return self.set(key, &CString::new(bytes)?);
        }
        let fd = open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        self.set(key, &CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?)?;
        opened.push(fd);
        Ok(())
    }

    fn set(&self, key: &CStr, value: &CStr) -> io::Result<()> {
        self.configure(SET_STRING, key.as_ptr(), value.as_ptr())
    }

    fn set_flag(&self, key: &CStr) -> io::Result<()> {
        self.configure(SET_FLAG, key.as_ptr(), std::ptr::null())
    }

    fn configure(
        &self,
        command: libc::c_uint,
        key: *const libc::c_char,
        value: *const libc::c_char,
    ) -> io::Result<()> {
        // SAFETY: the descriptor is open; key and value are null or end in NUL, and live through the call.
        let set = unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) };
        match Errno::result(set) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explained(error)),
        }
    }

    fn mount(self, attributes: libc::c_uint) -> io::Result<File> {
        self.configure(CREATE, std::ptr::null(), std::ptr::null())?;
        // SAFETY: the descriptor is open.
        let tree = unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), CLOSE_ON_EXEC, attributes) };
        owned(Errno::result(tree)?)
    }

    /// What the kernel says of its refusal, where it says more than a number.
    fn explained(&self, error: Errno) -> io::Error {
        let mut said = [0; 512];
        let length = (&self.0).read(&mut said).unwrap_or(0);
        let said = String::from_utf8_lossy(&said[..length]);
        match said.trim().strip_prefix("e ") {
            Some(why) if error == Errno::EINVAL && why.contains("lowerdir+") => {
                io::Error::other(format!("Linux 6.5 is needed ({why})"))
            }
            Some(why) if error == Errno::EINVAL => io::Error::other(why.to_owned()),
            _ => error.into(),
        }
    }
}

fn owned(fd: libc::c_long) -> io::Result<File> {
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { File::from_raw_fd(fd) })
}
