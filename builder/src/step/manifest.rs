//! What a `copy` step would copy, by name and content.
use std::ffi::OsString;

/// One file, link or directory below the source tree; paths are relative to its root (`""` is the root).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// A regular file.
    File {
        /// Path below the source root.
        path: OsString,
        /// SHA-256 of its bytes, in hexadecimal.
        sha256: String,
    },
    /// A symbolic link, never followed.
    Symlink {
        /// Path below the source root.
        path: OsString,
        /// Where it points, as written.
        target: OsString,
    },
    /// A directory.
    Dir {
        /// Path below the source root.
        path: OsString,
        /// What lies in it, sorted by bytes, exclusions left out.
        children: Vec<Manifest>,
    },
}
