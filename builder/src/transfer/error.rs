//! Why files could not be moved, in words for the person at the terminal.
use std::io;
use std::path::{Path, PathBuf};

/// Why a tree could not be cloned, copied or removed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A system call failed on `path`.
    #[error("cannot {action} {}: {}", .path.display(), explain(.source))]
    Io {
        /// What was tried: a verb, and its object where the path alone does not tell it.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source is not what it was when it was listed; what it holds now is not what the step is named after.
    #[error("{} changed while it was being copied; leave it alone and run the build again", .path.display())]
    Changed {
        /// The source that changed.
        path: PathBuf,
    },
    /// A source's path has a `..` in it, or begins at the root of the machine.
    #[error("cannot copy {}: it leads out of the source tree", .path.display())]
    Outside {
        /// The source as named.
        path: PathBuf,
    },
    /// A source is reached through a symbolic link, which may lead out of the source tree.
    #[error("cannot copy {}: {} is a symbolic link, which is not followed; name the place it leads to", .path.display(), .link.display())]
    ThroughLink {
        /// The source as named.
        path: PathBuf,
        /// The part of it that is a link.
        link: PathBuf,
    },
    /// A file or link would take the place of a directory.
    #[error("cannot copy a file to {}: it is a directory; end the destination in '/' to copy into it", .path.display())]
    OverDirectory {
        /// The directory, as seen inside the tree.
        path: PathBuf,
    },
    /// Something on the way to the destination is neither a directory nor a link to one.
    #[error("cannot copy to {}: {} is not a directory", .path.display(), .part.display())]
    NotADirectory {
        /// The destination, as seen inside the tree.
        path: PathBuf,
        /// The part of it that is in the way.
        part: PathBuf,
    },
    /// The symbolic links on the way to the destination do not end.
    #[error("cannot copy to {}: too many levels of symbolic links", .path.display())]
    LinkLoop {
        /// The destination, as seen inside the tree.
        path: PathBuf,
    },
    /// An archive cannot be read, or holds what must not be unpacked.
    #[error("cannot unpack {}: {source}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Several sources and one name for all of them.
    #[error("When copying multiple items, the destination must end with '/'")]
    ManyToOne,
}

impl TransferError {
    pub(super) fn io(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source: source.into() }
    }
}

/// Says what a failed system call means, where its own words leave the reader guessing.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "no space left on the device that holds it".to_owned(),
        Some(libc::EDQUOT) => "the disk quota there is used up".to_owned(),
        Some(libc::EROFS) => "its file system is read-only".to_owned(),
        Some(libc::EACCES | libc::EPERM) if !nix::unistd::geteuid().is_root() => {
            "permission denied; run as root".to_owned()
        }
        Some(_) => {
            let text = error.to_string();
            let words = text.split(" (os error ").next().unwrap_or(&text);
            let mut letters = words.chars();
            letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_in_one_clear_line_that_names_the_path() {
        let error = TransferError::io("write", "/x/y", io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(error.to_string(), "cannot write /x/y: no space left on the device that holds it");
    }

    #[test]
    fn the_systems_own_words_lose_their_capital_and_their_number() {
        let error = TransferError::io("read", "/x", io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.to_string(), "cannot read /x: no such file or directory");
    }
}
