//! Mount points in trees of many shapes.
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Points, working_directory};

/// A tree with `etc/passwd`, an old `run`, and links.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["etc", "run", "real"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("etc/passwd"), "root").unwrap();
    symlink("/real", dir.path().join("link")).unwrap();
    symlink("../../../run/target", dir.path().join("etc/dangling")).unwrap();
    for name in ["etc", "run", "real", ""] {
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::open(dir.path().join(name)).unwrap().set_modified(old).unwrap();
    }
    dir
}

/// Every path in the tree, with the time and size of each.
fn listed(root: &Path) -> Vec<(PathBuf, SystemTime, u64)> {
    let mut found = vec![root.to_owned()];
    let mut at = 0;
    while at < found.len() {
        let path = found[at].clone();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found.sort();
    let whole = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).unwrap();
        (path, meta.modified().unwrap(), meta.len())
    };
    found.into_iter().map(whole).collect()
}

fn make(root: &Path, targets: &[&str]) -> Result<Points, String> {
    Points::make(root, targets.iter().map(Path::new)).map_err(|error| error.to_string())
}

#[test]
fn missing_points_are_made_and_leave_no_trace() {
    let dir = tree();
    let before = listed(dir.path());
    let points =
        make(dir.path(), &["/run/secrets/a", "/run/secrets/b", "/etc/two", "/etc/passwd", "/link/x"])
            .unwrap();
    for made in ["run/secrets/a", "run/secrets/b", "etc/two", "real/x"] {
        assert!(dir.path().join(made).is_file(), "{made}");
    }
    points.remove().unwrap();
    assert_eq!(listed(dir.path()), before);
}

#[test]
fn links_at_a_point_lead_where_they_lead_in_the_tree() {
    let dir = tree();
    let before = listed(dir.path());
    let points = make(dir.path(), &["/etc/dangling"]).unwrap();
    assert!(dir.path().join("run/target").is_file());
    drop(points);
    assert_eq!(listed(dir.path()), before);
}

#[test]
fn what_the_step_put_to_use_stays() {
    let dir = tree();
    let points = make(dir.path(), &["/run/secrets/a", "/etc/two"]).unwrap();
    fs::write(dir.path().join("run/secrets/mine"), "").unwrap();
    fs::write(dir.path().join("etc/two"), "written after the mount was gone").unwrap();
    let changed = fs::metadata(dir.path().join("run/secrets")).unwrap().modified().unwrap();
    points.remove().unwrap();
    let left: Vec<_> =
        fs::read_dir(dir.path().join("run/secrets")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"]);
    assert!(dir.path().join("etc/two").exists());
    assert!(fs::metadata(dir.path().join("run/secrets")).unwrap().modified().unwrap() >= changed);
}

#[test]
fn a_point_that_cannot_be_a_file_is_refused() {
    let dir = tree();
    let before = listed(dir.path());
    symlink("loop", dir.path().join("etc/loop")).unwrap();
    for (target, why) in [
        ("/etc", "cannot show a file at /etc: /etc: is a directory"),
        ("/etc/", "cannot show a file at /etc/: /etc/: is a directory"),
        ("/run/..", "cannot show a file at /run/..: /run/..: is a directory"),
        ("/etc/passwd/x", "cannot show a file at /etc/passwd/x: /etc/passwd is not a directory"),
        ("/etc/loop", "cannot show a file at /etc/loop: too many levels of symbolic links"),
    ] {
        assert_eq!(make(dir.path(), &["/run/new/point", target]).err().as_deref(), Some(why));
    }
    fs::remove_file(dir.path().join("etc/loop")).unwrap();
    let paths =
        |list: Vec<(PathBuf, SystemTime, u64)>| list.into_iter().map(|entry| entry.0).collect::<Vec<_>>();
    assert_eq!(paths(listed(dir.path())), paths(before));
}

#[test]
fn a_working_directory_is_made_and_named_by_where_it_is() {
    let dir = tree();
    for (path, place) in [
        ("/", "/"),
        ("/link", "/real"),
        ("/a/b/../c/./", "/a/c"),
        ("/../../x", "/x"),
        ("/link/deep", "/real/deep"),
    ] {
        assert_eq!(working_directory(dir.path(), Path::new(path)).unwrap(), Path::new(place));
        let made = dir.path().join(place.trim_start_matches('/'));
        assert!(made.is_dir(), "{path}");
    }
    assert_eq!(fs::metadata(dir.path().join("a/c")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(dir.path().join("a/b").is_dir());
    let error = working_directory(dir.path(), Path::new("/etc/passwd")).unwrap_err().to_string();
    assert_eq!(error, "cannot work in /etc/passwd: /etc/passwd is not a directory");
}
