//! Reads `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: PathBuf,
    /// The file system's type, such as `fuse.obuilderfs`.
    pub kind: String,
    /// What was mounted.
    pub source: PathBuf,
}

/// The topmost mount at exactly `point`. Lines that are not understood are passed over.
pub fn at(mountinfo: &[u8], point: &Path) -> Option<Mount> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(mount).rfind(|mount| mount.point == point)
}

/// The minor number of the device of the topmost mount at exactly `point`, if that mount is of type `kind`.
pub fn minor(mountinfo: &[u8], point: &Path, kind: &str) -> Option<u32> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let (top, line) =
        lines.filter_map(|line| Some((mount(line)?, line))).rfind(|(top, _)| top.point == point)?;
    let device = std::str::from_utf8(line.split(|byte| *byte == b' ').nth(2)?).ok()?;
    device.split_once(':')?.1.parse().ok().filter(|_| top.kind == kind)
}

/// `36 35 98:0 /root /point opts tag:1 - type source super`; the tags may be any number.
fn mount(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
    Some(Mount {
        point: unescaped(fields[4]),
        kind: String::from_utf8_lossy(fields.get(dash + 1)?).into_owned(),
        source: unescaped(fields.get(dash + 2)?),
    })
}

/// Blank, tab, newline and backslash are written `\040`, `\011`, `\012`, `\134`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal =
            after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        match octal {
            Some(digits) => {
                out.push(
                    digits.iter().fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
                );
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /usr/local rw,nosuid shared:5 master:2 - fuse.obuilderfs /run/first rw
garbage
41 40 0:51 / /usr/local rw,nosuid - fuse.obuilderfs /run/my\\040board rw,allow_other
42 27 0:52 /sub /usr/local/x\\134y\\011 rw - tmpfs tmpfs rw
";

    #[test]
    fn the_topmost_mount_of_a_point_is_found() {
        let found = at(TABLE, Path::new("/usr/local")).unwrap();
        assert_eq!((found.kind.as_str(), found.source.to_str()), ("fuse.obuilderfs", Some("/run/my board")));
        assert_eq!(at(TABLE, Path::new("/usr/local/x\\y\t")).unwrap().kind, "tmpfs");
        assert_eq!(at(TABLE, Path::new("/usr")), None);
        assert_eq!(at(TABLE, Path::new("/")).unwrap().kind, "ext4");
    }

    #[test]
    fn the_device_of_the_topmost_mount_is_found_if_it_is_of_the_type_asked_for() {
        let minor_at = |point| minor(TABLE, Path::new(point), "fuse.obuilderfs");
        assert_eq!(minor_at("/usr/local"), Some(51));
        assert_eq!((minor_at("/"), minor_at("/usr")), (None, None));
    }

    #[test]
    fn this_machines_root_is_found() {
        let Ok(own) = std::fs::read("/proc/self/mountinfo") else { return };
        assert!(at(&own, Path::new("/")).is_some());
    }
}
