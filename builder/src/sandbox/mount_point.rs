//! Directories to mount on.
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::SandboxError;

/// Makes `path` and what is missing above it, open to all whatever the umask; leaves alone what is there.
pub(super) fn make(path: &Path) -> Result<(), SandboxError> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
    while let Some(dir) = missing.pop() {
        let made = match fs::create_dir(dir) {
            Ok(()) => fs::set_permissions(dir, Permissions::from_mode(0o755)),
            // Another builder makes the same ones.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
        };
        made.map_err(|e| failed(path, &e.to_string()))?;
    }
    if path.is_dir() { Ok(()) } else { Err(failed(path, "there is something that is not a directory")) }
}

fn failed(path: &Path, reason: &str) -> SandboxError {
    SandboxError::Prepare {
        what: format!("make the mount point {}", path.display()),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_directories_are_made_and_others_left_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().join("a/b");
        make(&point).unwrap();
        assert_eq!(fs::metadata(&point).unwrap().permissions().mode() & 0o7777, 0o755);
        fs::set_permissions(&point, Permissions::from_mode(0o700)).unwrap();
        make(&point).unwrap();
        assert_eq!(fs::metadata(&point).unwrap().permissions().mode() & 0o7777, 0o700);
        fs::write(point.join("file"), "").unwrap();
        let error = make(&point.join("file")).unwrap_err().to_string();
        assert!(error.contains("is not a directory"), "{error}");
    }
}
