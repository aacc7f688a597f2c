//! The address of a store, as given to `--store`: `KIND:PLACE`.
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Kinds that exist elsewhere, with the form of their addresses.
const OTHERS: &[(&str, &str)] = &[("docker", "docker:/path")];

/// The place of a store where none is named.
const USUAL_PLACE: &str = "/var/lib/obuilder";

/// Where a store is, and of which kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `rsync:/path`: plain directories on any file system. The name is the original's, whose files it shares;
    /// no program of that name is needed.
    Rsync(PathBuf),
    /// `btrfs:/path`: subvolumes, in a directory on btrfs.
    Btrfs(PathBuf),
    /// `xfs:/path`: plain directories whose files share blocks, on XFS or another file system with reflinks.
    Xfs(PathBuf),
    /// `overlayfs:/path`: layers, each with what its step changed, on any file system that overlayfs can use.
    Overlayfs(PathBuf),
    /// `auto:/path` or `auto`: of the kind that is there already, else of the best that the place allows.
    Auto(PathBuf),
    /// `zfs:tank`, or `zfs:/Volumes/tank`: datasets in the pool `tank`, mounted at `/tank` or where the path says.
    Zfs {
        /// The pool.
        pool: String,
        /// Where it is mounted.
        dir: PathBuf,
    },
}

/// Why an address is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No `KIND:` in front.
    #[error("bad store address {0:?}: it must be KIND:PLACE, for example rsync:/var/lib/obuilder")]
    NoKind(OsString),
    /// A kind nobody knows.
    #[error(
        "bad store address {0:?}: there is no store of the kind {1:?}; use auto:/path, btrfs:/path, zfs:POOL, xfs:/path, overlayfs:/path or rsync:/path"
    )]
    UnknownKind(OsString, OsString),
    /// A kind that OBuilder has and this version has not.
    #[error("store addresses of the form {0} are not in this version; use auto:/path")]
    NotYet(&'static str),
    /// No pool can have that name.
    #[error(
        "bad store address {0:?}: {1:?} cannot be the name of a ZFS pool; use zfs:POOL or zfs:/PREFIX/POOL"
    )]
    Pool(OsString, OsString),
    /// The place is not an absolute path.
    #[error("bad store address {0:?}: the path after {1}: must be absolute, that is, begin with '/'")]
    Relative(OsString, &'static str),
}

impl StoreUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// It is not of a form known here; the error says which are.
    pub fn parse(text: &OsStr) -> Result<Self, UrlError> {
        let bytes = text.as_bytes();
        if bytes == b"auto" {
            return Ok(Self::Auto(PathBuf::from(USUAL_PLACE)));
        }
        let colon = bytes.iter().position(|&b| b == b':').ok_or_else(|| UrlError::NoKind(text.to_owned()))?;
        let (kind, place) = (&bytes[..colon], OsStr::from_bytes(&bytes[colon + 1..]));
        if let Some((_, form)) = OTHERS.iter().find(|(name, _)| name.as_bytes() == kind) {
            return Err(UrlError::NotYet(form));
        }
        let path = |kind| match place.as_bytes() {
            [b'/', ..] => Ok(PathBuf::from(place)),
            _ => Err(UrlError::Relative(text.to_owned(), kind)),
        };
        match kind {
            b"rsync" => path("rsync").map(Self::Rsync),
            b"btrfs" => path("btrfs").map(Self::Btrfs),
            b"xfs" => path("xfs").map(Self::Xfs),
            b"overlayfs" => path("overlayfs").map(Self::Overlayfs),
            b"auto" => path("auto").map(Self::Auto),
            b"zfs" => zfs(place).ok_or_else(|| UrlError::Pool(text.to_owned(), place.to_owned())),
            b"" => Err(UrlError::NoKind(text.to_owned())),
            other => Err(UrlError::UnknownKind(text.to_owned(), OsStr::from_bytes(other).to_owned())),
        }
    }
}

impl StoreUrl {
    /// The directory the store is in.
    pub fn dir(&self) -> &Path {
        match self {
            Self::Rsync(dir)
            | Self::Btrfs(dir)
            | Self::Xfs(dir)
            | Self::Overlayfs(dir)
            | Self::Auto(dir)
            | Self::Zfs { dir, .. } => dir,
        }
    }

    /// What stands before the colon.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rsync(_) => "rsync",
            Self::Btrfs(_) => "btrfs",
            Self::Xfs(_) => "xfs",
            Self::Overlayfs(_) => "overlayfs",
            Self::Auto(_) => "auto",
            Self::Zfs { .. } => "zfs",
        }
    }
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(OsStr::new(text))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zfs { pool, dir } if *dir == Path::new("/").join(pool) => write!(f, "zfs:{pool}"),
            _ => write!(f, "{}:{}", self.kind(), self.dir().display()),
        }
    }
}

/// The last part of the path is the pool.
fn zfs(place: &OsStr) -> Option<StoreUrl> {
    let dir = Path::new("/").join(place);
    let pool = dir.file_name()?.to_str()?.to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let relative = !place.as_bytes().starts_with(b"/");
    let good = pool.starts_with(|c: char| c.is_ascii_alphabetic()) && pool.chars().all(plain);
    (good && !(relative && place.as_bytes().contains(&b'/'))).then_some(StoreUrl::Zfs { pool, dir })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_are_read_and_printed_back() {
        for text in ["rsync:/var/lib/obuilder", "rsync:/", "rsync:/with:colon", "rsync:/with blank/é"] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url, StoreUrl::Rsync(PathBuf::from(&text[6..])));
            assert_eq!(url.to_string(), text);
        }
        for text in ["btrfs:/a", "xfs:/a", "overlayfs:/a", "auto:/a"] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), url.dir()), (text.to_owned(), Path::new("/a")));
        }
        assert_eq!("auto".parse(), Ok(StoreUrl::Auto(USUAL_PLACE.into())));
        for (text, dir, printed) in [
            ("zfs:tank", "/tank", "zfs:tank"),
            ("zfs:/tank", "/tank", "zfs:tank"),
            ("zfs:/Volumes/tank", "/Volumes/tank", "zfs:/Volumes/tank"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url, StoreUrl::Zfs { pool: "tank".into(), dir: dir.into() });
            assert_eq!(url.to_string(), printed);
        }
        let bytes = OsStr::from_bytes(b"rsync:/\xff");
        assert_eq!(StoreUrl::parse(bytes).unwrap(), StoreUrl::Rsync(OsStr::from_bytes(b"/\xff").into()));
    }

    #[test]
    fn bad_addresses_are_refused_in_one_line_that_says_what_to_do() {
        for (text, why) in [
            ("", "must be KIND:PLACE"),
            ("/var/lib/obuilder", "must be KIND:PLACE"),
            (":/path", "must be KIND:PLACE"),
            ("rsync:", "must be absolute"),
            ("rsync:var/lib", "must be absolute"),
            ("Rsync:/path", "no store of the kind \"Rsync\""),
            ("ftp:/path", "no store of the kind \"ftp\""),
            ("btrfs:tank", "must be absolute"),
            ("xfs:path", "must be absolute"),
            ("overlayfs:", "must be absolute"),
            ("auto:", "must be absolute"),
            ("zfs:", "cannot be the name of a ZFS pool"),
            ("zfs:/", "use zfs:POOL or zfs:/PREFIX/POOL"),
            ("zfs:tank/builds", "\"tank/builds\" cannot be the name of a ZFS pool"),
            ("zfs:0tank", "cannot be the name of a ZFS pool"),
            ("zfs:/Volumes/my tank", "cannot be the name of a ZFS pool"),
            ("docker:/path", "not in this version"),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(!error.contains('\n') && error.contains(":"), "{error}");
        }
    }
}
