//! What a `copy` step would copy, by name and content.
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::id::hex;
use crate::spec::printer::quoted_text;
use crate::spec::sexp::Sexp;
use crate::spec::to_sexp::atom;
use crate::transfer::interrupt;

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

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

/// Why a source cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Nothing is there.
    #[error("Source path {} not found", quoted(.0))]
    NotFound(OsString),
    /// It leads out of the source tree.
    #[error("Can't use .. in source paths! (in {})", quoted(.0))]
    Parent(OsString),
    /// A component before the last is not a directory; a link counts as none.
    #[error("Not a directory: {} (in {})", .path.to_string_lossy(), quoted(.source_path))]
    NotADirectory {
        /// The component, with what stands before it.
        path: OsString,
        /// The source as the spec names it.
        source_path: OsString,
    },
    /// A fifo, socket or device.
    #[error("Unsupported file type for {}: only files, directories and links can be copied", quoted(.0))]
    FileType(OsString),
    /// The source cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn quoted(path: &OsStr) -> String {
    quoted_text(path.as_bytes())
}

impl Manifest {
    /// Lists what the source `src` of a `copy` from the tree `root` holds. No link is followed.
    ///
    /// `exclude` are base names left out below `src`; `src` itself is never left out.
    ///
    /// # Errors
    /// `src` is not there, leads out of `root`, or holds something that cannot be copied or read.
    pub fn generate(root: &Path, src: &OsStr, exclude: &[OsString]) -> Result<Self, ManifestError> {
        let path = checked_path(root, src)?;
        list(root, path, exclude)
    }

    /// The path below the source root.
    pub fn path(&self) -> &OsStr {
        match self {
            Self::File { path, .. } | Self::Symlink { path, .. } | Self::Dir { path, .. } => path,
        }
    }

    /// How it enters a step's id. Loops, not iterators, keep the stack of a deep tree small.
    pub(crate) fn to_sexp(&self) -> Sexp {
        match self {
            Self::File { path, sha256 } => node("File", path, Sexp::atom(sha256)),
            Self::Symlink { path, target } => node("Symlink", path, atom(target)),
            Self::Dir { path, children } => {
                let mut items = Vec::with_capacity(children.len());
                for child in children {
                    items.push(child.to_sexp());
                }
                node("Dir", path, Sexp::list(items))
            }
        }
    }
}

/// `(KIND(PATH CONTENT))`.
fn node(kind: &str, path: &OsString, content: Sexp) -> Sexp {
    Sexp::pair(kind, Sexp::list([atom(path), content]))
}

/// `src` without empty and `.` components, each of them looked at on the way.
fn checked_path(root: &Path, src: &OsStr) -> Result<OsString, ManifestError> {
    let components = src.as_bytes().split(|&b| b == b'/');
    let components: Vec<&[u8]> = components.filter(|c| !matches!(*c, b"" | b".")).collect();
    let mut path = OsString::new();
    for (i, component) in components.iter().enumerate() {
        if *component == b".." {
            return Err(ManifestError::Parent(src.to_owned()));
        }
        path = join(&path, OsStr::from_bytes(component));
        let full = root.join(&path);
        match fs::symlink_metadata(&full) {
            Ok(meta) if meta.is_dir() || i + 1 == components.len() => {}
            Ok(_) => return Err(ManifestError::NotADirectory { path, source_path: src.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::NotFound(src.to_owned()));
            }
            Err(error) => return Err(ManifestError::Io { path: full, error }),
        }
    }
    Ok(path)
}

/// Lists what lies at `path`, without recursion: a tree may be deeper than a thread's stack.
fn list(root: &Path, path: OsString, exclude: &[OsString]) -> Result<Manifest, ManifestError> {
    let mut open: Vec<Listing> = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut next = Some(path);
    loop {
        let done = match next.take() {
            Some(path) => match look_at(root, path, exclude, &mut buffer)? {
                Found::Dir(listing) => {
                    open.push(listing);
                    None
                }
                Found::Leaf(leaf) => Some(leaf),
            },
            None => open.pop().map(Listing::finish),
        };
        if let Some(done) = done {
            match open.last_mut() {
                Some(above) => above.children.push(done),
                None => return Ok(done),
            }
        }
        next = open.last_mut().and_then(Listing::next);
    }
}

/// A directory whose entries are not all listed yet.
struct Listing {
    path: OsString,
    rest: std::vec::IntoIter<OsString>,
    children: Vec<Manifest>,
}

impl Listing {
    /// The path of the next entry.
    fn next(&mut self) -> Option<OsString> {
        self.rest.next().map(|name| join(&self.path, &name))
    }

    fn finish(self) -> Manifest {
        Manifest::Dir { path: self.path, children: self.children }
    }
}

enum Found {
    Leaf(Manifest),
    Dir(Listing),
}

fn look_at(
    root: &Path,
    path: OsString,
    exclude: &[OsString],
    buffer: &mut [u8],
) -> Result<Found, ManifestError> {
    let full = if path.is_empty() { root.to_owned() } else { root.join(&path) };
    let failed = |error| ManifestError::Io { path: full.clone(), error };
    interrupt::check().map_err(failed)?;
    let kind = fs::symlink_metadata(&full).map_err(failed)?.file_type();
    if kind.is_dir() {
        let names = names(&full, exclude).map_err(failed)?;
        Ok(Found::Dir(Listing { path, rest: names.into_iter(), children: Vec::new() }))
    } else if kind.is_file() {
        let sha256 = hash(&full, buffer).map_err(failed)?;
        Ok(Found::Leaf(Manifest::File { path, sha256 }))
    } else if kind.is_symlink() {
        let target = fs::read_link(&full).map_err(failed)?.into_os_string();
        Ok(Found::Leaf(Manifest::Symlink { path, target }))
    } else {
        Err(ManifestError::FileType(path))
    }
}

/// The names in a directory, in the order of their bytes.
fn names(dir: &Path, exclude: &[OsString]) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !exclude.contains(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn join(dir: &OsStr, name: &OsStr) -> OsString {
    if dir.is_empty() { name.to_owned() } else { Path::new(dir).join(name).into_os_string() }
}

/// SHA-256 of a regular file. One that became a link or a fifo meanwhile is refused, not followed or
/// waited for.
fn hash(path: &Path, buffer: &mut [u8]) -> io::Result<String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it changed while it was read"));
    }
    hash_bytes(file, buffer)
}

fn hash_bytes(mut file: File, buffer: &mut [u8]) -> io::Result<String> {
    let mut hasher = Sha256::new();
    loop {
        interrupt::check()?;
        match file.read(buffer) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::printer::to_machine;
    use std::os::unix::fs::symlink;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("d/skip/deep")).unwrap();
        fs::write(root.join("a"), "a").unwrap();
        fs::write(root.join("d/c"), "c").unwrap();
        fs::write(root.join("d/B"), "").unwrap();
        fs::write(root.join("skip"), "").unwrap();
        symlink("../a", root.join("d/link")).unwrap();
        symlink("d", root.join("dirlink")).unwrap();
        dir
    }

    fn listed(root: &Path, src: &str, exclude: &[&str]) -> String {
        let exclude: Vec<_> = exclude.iter().map(OsString::from).collect();
        match Manifest::generate(root, OsStr::new(src), &exclude) {
            Ok(manifest) => String::from_utf8(to_machine(&manifest.to_sexp())).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    const A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    const C: &str = "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn files_links_and_directories_are_listed_in_byte_order() {
        let dir = tree();
        assert_eq!(listed(dir.path(), "a", &[]), format!("(File(a {A}))"));
        assert_eq!(listed(dir.path(), ".//a", &[]), format!("(File(a {A}))"));
        assert_eq!(listed(dir.path(), "dirlink", &[]), "(Symlink(dirlink d))");
        let d = format!("(Dir(d((File(d/B {EMPTY}))(File(d/c {C}))(Symlink(d/link ../a)))))");
        assert_eq!(listed(dir.path(), "/d/", &["skip"]), d);
        let root = format!("(Dir(\"\"((File(a {A})){d}(Symlink(dirlink d)))))");
        assert_eq!(listed(dir.path(), ".", &["skip"]), root);
    }

    #[test]
    fn an_exclusion_leaves_out_what_lies_below_and_never_the_source_itself() {
        let dir = tree();
        assert_eq!(listed(dir.path(), "skip", &["skip"]), format!("(File(skip {EMPTY}))"));
        assert!(listed(dir.path(), "d", &[]).contains("(Dir(d/skip((Dir(d/skip/deep())))))"));
    }

    #[test]
    fn what_cannot_be_copied_is_named() {
        let dir = tree();
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        for (src, error) in [
            ("nope", "Source path \"nope\" not found"),
            ("d/no\"pe", "Source path \"d/no\\\"pe\" not found"),
            ("d/../a", "Can't use .. in source paths! (in \"d/../a\")"),
            ("d/c/x", "Not a directory: d/c (in \"d/c/x\")"),
            ("dirlink/c", "Not a directory: dirlink (in \"dirlink/c\")"),
            ("fifo", "Unsupported file type for \"fifo\": only files, directories and links can be copied"),
        ] {
            assert_eq!(listed(dir.path(), src, &[]), error);
        }
        let error = listed(dir.path(), ".", &[]);
        assert_eq!(
            error,
            "Unsupported file type for \"fifo\": only files, directories and links can be copied"
        );
    }

    #[test]
    fn a_tree_as_deep_as_a_path_can_be_is_listed_and_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let depth = (4000 - dir.path().as_os_str().len()) / 2;
        fs::create_dir_all(dir.path().join("d/".repeat(depth))).unwrap();
        let listed = listed(dir.path(), ".", &[]);
        assert_eq!(listed.matches("(Dir(").count(), depth + 1);
    }
}
