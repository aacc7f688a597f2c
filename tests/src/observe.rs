//! What can be seen of a tree and of a call's result, as text that two file systems can be compared by.
use std::fmt::{Debug, Write as _};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// `ok VALUE`, or the error's symbol such as `EACCES`.
pub fn outcome<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("ok {value:?}"),
        Err(e) => e.raw_os_error().map_or_else(|| format!("{e:?}"), |n| format!("{:?}", Errno::from_raw(n))),
    }
}

/// One line: kind, mode, owner, links, size, then a link's target or a small file's bytes, then attributes.
pub fn describe(path: &Path) -> String {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) => return outcome::<()>(Err(e)),
    };
    let kind = meta.file_type();
    let mut line = format!(
        "{} {:06o} {}:{} links={} size={}",
        if kind.is_dir() {
            'd'
        } else if kind.is_symlink() {
            'l'
        } else if kind.is_file() {
            '-'
        } else {
            '?'
        },
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.nlink(),
        meta.size()
    );
    if kind.is_symlink() {
        let _ = write!(line, " -> {}", outcome(fs::read_link(path)));
    } else if kind.is_file() && meta.size() <= 4096 {
        let _ =
            write!(line, " {}", outcome(fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned())));
    } else if kind.is_char_device() || kind.is_block_device() {
        let _ = write!(line, " rdev={:x}", meta.rdev());
    }
    let mut names: Vec<_> = xattr::list(path).map(Iterator::collect).unwrap_or_default();
    names.sort();
    for name in names {
        let _ = write!(line, " {name:?}={}", outcome(xattr::get(path, &name)));
    }
    line
}

/// Every entry below `root`, sorted, each described on a line of its own.
pub fn describe_tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries {
            let name = dir.join(entry.expect("directory entry").file_name());
            let path = root.join(&name);
            lines.push(format!("{} {}", name.display(), describe(&path)));
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                pending.push(name);
            }
        }
    }
    lines.sort();
    lines
}
