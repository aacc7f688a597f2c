//! File systems in files, that stores are measured on.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

/// A file system of its own, which goes when this is dropped.
pub(crate) struct Disk {
    temp: TempDir,
}

impl Disk {
    /// Makes and mounts one of the `kind` that mkfs(8) knows, of `gigabytes`; `None` if this machine cannot.
    pub(crate) fn new(kind: &str, gigabytes: u64) -> Option<Self> {
        let temp = place().expect("temporary directory");
        let (image, dir) = (temp.path().join("image"), temp.path().join("disk"));
        fs::create_dir(&dir).expect("mount point");
        if kind == "tmpfs" {
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"]).arg(&dir))?;
            return Some(Self { temp });
        }
        File::create(&image).and_then(|file| file.set_len(gigabytes << 30)).expect("image");
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&dir))?;
        Some(Self { temp })
    }

    /// Where it is mounted.
    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.dir(), MntFlags::MNT_DETACH);
    }
}

fn run(command: &mut Command) -> Option<()> {
    command.output().ok()?.status.success().then_some(())
}

/// Makes `count` files of some 4000 bytes below `dir`, a hundred in each directory.
pub(crate) fn fill(dir: &Path, count: usize) {
    let bytes = [7; 4000];
    for number in 0..count {
        let below = dir.join(format!("{}/{}", number / 2000, number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&below).expect("directory");
        }
        fs::write(below.join(number.to_string()), bytes).expect("file");
    }
}

/// A directory for the image: in memory where it can be, so that the file system is measured and not the disk.
fn place() -> std::io::Result<TempDir> {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new())
}
