//! Gives a tree that belonged to one build user to another.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchownat};

use super::SandboxError;
use crate::transfer::descent::{DIRECTORY, Descent, entries};
use crate::transfer::{explain, interrupt};

/// Who a tree is to belong to.
#[derive(Clone, Copy)]
struct Owner {
    /// Whose entries change hands; anybody's if `None`.
    from: Option<u32>,
    uid: u32,
    gid: u32,
}

/// The uid that owns `root` itself.
pub(super) fn owner(root: &Path) -> Result<u32, SandboxError> {
    let dir = open(root).map_err(|e| error("read", root, e))?;
    fstat(&dir).map(|stat| stat.st_uid).map_err(|e| error("read", root, e))
}

/// Gives `root`, and whatever below it belongs to the same user, to `uid` and `gid`. No link is followed; what
/// belongs to others stays theirs. Costs one look at every entry, unless `root` is `uid`'s already.
pub(super) fn reown(root: &Path, uid: u32, gid: u32) -> Result<(), SandboxError> {
    let from = owner(root)?;
    if from == uid {
        return Ok(());
    }
    give_tree(root, Owner { from: Some(from), uid, gid })
}

/// Gives `root` and all below it to `uid` and `gid`, whoever's it was. No link is followed.
pub(super) fn take_over(root: &Path, uid: u32, gid: u32) -> Result<(), SandboxError> {
    give_tree(root, Owner { from: None, uid, gid })
}

fn give_tree(root: &Path, owner: Owner) -> Result<(), SandboxError> {
    let dir = open(root).map_err(|e| error("give away", root, e))?;
    give_all(dir, owner).map_err(|e| error("give away", root, e))
}

fn open(root: &Path) -> nix::Result<OwnedFd> {
    nix::fcntl::open(root, DIRECTORY, Mode::empty())
}

fn give_all(root: OwnedFd, owner: Owner) -> io::Result<()> {
    let mut frames = vec![entries(root.as_fd())?.into_iter()];
    let mut dirs = Descent::new(root);
    while let Some(rest) = frames.last_mut() {
        let Some(entry) = rest.next() else {
            frames.pop();
            dirs.leave()?;
            continue;
        };
        interrupt::check()?;
        give(dirs.here(), entry.name.as_c_str(), owner)?;
        if matches!(entry.kind, Some(Type::Directory) | None) {
            match openat(dirs.here(), entry.name.as_c_str(), DIRECTORY, Mode::empty()) {
                Ok(below) => {
                    frames.push(entries(below.as_fd())?.into_iter());
                    dirs.enter(below)?;
                }
                Err(Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    // Last, so that a walk cut short is begun anew.
    Ok(give(dirs.here(), c".", owner)?)
}

/// chown clears the set-id bits (chown(2)), so they are put back.
fn give<P: nix::NixPath + ?Sized>(dir: BorrowedFd<'_>, name: &P, owner: Owner) -> nix::Result<()> {
    let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if stat.st_uid == owner.uid || owner.from.is_some_and(|from| from != stat.st_uid) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    fchownat(dir, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    match set_id_mode(&stat) {
        Some(mode) => fchmodat(dir, name, mode, FchmodatFlags::FollowSymlink),
        None => Ok(()),
    }
}

/// The mode of a regular file with a set-id bit.
fn set_id_mode(stat: &FileStat) -> Option<Mode> {
    let mode = Mode::from_bits_truncate(stat.st_mode);
    let is_file = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    (is_file && mode.intersects(Mode::S_ISUID | Mode::S_ISGID)).then_some(mode)
}

fn error(verb: &str, root: &Path, error: impl Into<io::Error>) -> SandboxError {
    SandboxError::Prepare { what: format!("{verb} {}", root.display()), reason: explain(&error.into()) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

    use super::*;
    use crate::transfer::trees::run_with_few_descriptors;

    #[test]
    fn a_tree_can_be_taken_over_from_whoever_has_a_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/f"), "").unwrap();
        lchown(dir.path().join("a/f"), Some(61_701), None).unwrap();
        lchown(dir.path(), Some(61_702), None).unwrap();
        take_over(dir.path(), 61_702, 61_703).unwrap();
        let who = |path: &str| fs::metadata(dir.path().join(path)).unwrap().uid();
        assert_eq!([who(""), who("a"), who("a/f")], [61_702; 3]);
    }

    #[test]
    fn a_tree_changes_hands_but_what_is_anothers_and_what_links_point_at_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        let outside = dir.path().join("outside");
        fs::create_dir_all(root.join("a/b")).unwrap();
        for file in ["a/b/own", "others", "tool"] {
            fs::write(root.join(file), "").unwrap();
        }
        fs::write(&outside, "").unwrap();
        symlink(&outside, root.join("link")).unwrap();
        for path in ["", "a", "a/b", "a/b/own", "link", "tool"] {
            lchown(root.join(path), Some(61_701), Some(61_701)).unwrap();
        }
        fs::set_permissions(root.join("tool"), Permissions::from_mode(0o4755)).unwrap();

        reown(&root, 61_702, 61_703).unwrap();
        let who = |path: &str| {
            let meta = fs::symlink_metadata(root.join(path)).unwrap();
            (meta.uid(), meta.gid())
        };
        for path in ["", "a", "a/b", "a/b/own", "link", "tool"] {
            assert_eq!(who(path), (61_702, 61_703), "{path}");
        }
        assert_eq!((who("others"), fs::metadata(&outside).unwrap().uid()), ((0, 0), 0));
        assert_eq!(fs::metadata(root.join("tool")).unwrap().mode() & 0o7777, 0o4755);
        assert_eq!(owner(&root).unwrap(), 61_702);
    }

    #[test]
    fn a_tree_deeper_than_a_process_may_have_files_open_changes_hands() {
        let root = tempfile::tempdir().unwrap();
        let mut deepest = open(root.path()).unwrap();
        for _ in 0..500 {
            nix::sys::stat::mkdirat(&deepest, c"d", Mode::S_IRWXU).unwrap();
            deepest = openat(&deepest, c"d", DIRECTORY, Mode::empty()).unwrap();
        }
        take_over(root.path(), 61_701, 61_701).unwrap();
        assert_eq!(fstat(&deepest).unwrap().st_uid, 61_701);
    }

    #[test]
    fn a_deep_tree_needs_few_descriptors() {
        let name = "a_tree_deeper_than_a_process_may_have_files_open_changes_hands";
        run_with_few_descriptors(&format!("sandbox::reown::tests::{name}"), 300);
    }
}
