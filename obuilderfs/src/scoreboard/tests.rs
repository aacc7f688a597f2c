use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn scoreboard() -> (tempfile::TempDir, Scoreboard) {
    let dir = tempfile::tempdir().unwrap();
    let board = Scoreboard::create(&dir.path().join("board")).unwrap();
    (dir, board)
}

#[test]
fn a_published_home_is_resolved_until_it_is_retracted() {
    let (_dir, board) = scoreboard();
    assert_eq!(board.resolve(705).unwrap(), None);
    board.publish(705, Path::new("/home/a")).unwrap();
    assert_eq!(board.resolve(705).unwrap().unwrap().target, Path::new("/home/a"));
    assert_eq!(board.uids().unwrap(), [705]);
    board.retract(705).unwrap();
    board.retract(705).unwrap();
    assert_eq!(board.resolve(705).unwrap(), None);
}

#[test]
fn the_same_target_published_again_is_another_link() {
    let (_dir, board) = scoreboard();
    let mut seen = Vec::new();
    for _ in 0..20 {
        board.publish(705, Path::new("/home/a")).unwrap();
        let identity = board.identity(705).unwrap().unwrap();
        assert!(!seen.contains(&identity), "identity came back");
        seen.push(identity);
    }
}

#[test]
fn publishing_leaves_no_moment_without_a_link() {
    let (_dir, board) = scoreboard();
    board.publish(705, Path::new("/home/0")).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..2000 {
                board.publish(705, Path::new(&format!("/home/{n}"))).unwrap();
            }
        });
        while !writer.is_finished() {
            assert!(board.resolve(705).unwrap().is_some());
        }
    });
}

#[test]
fn a_directory_others_may_write_is_refused_by_name() {
    let (dir, board) = scoreboard();
    fs::set_permissions(board.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = Scoreboard::open(board.path()).unwrap_err().to_string();
    assert!(error.contains("is writable by others (mode 0777)"), "{error}");
    assert!(error.contains("chmod go-w"), "{error}");
    fs::set_permissions(board.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = Scoreboard::open(board.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("{} is writable by others", dir.path().display())), "{error}");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    Scoreboard::open(board.path()).unwrap();
}

#[test]
fn in_a_sticky_directory_only_links_of_root_count() {
    let (_dir, board) = scoreboard();
    fs::set_permissions(board.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    board.check().unwrap();
    symlink("/home/evil", board.path().join("705")).unwrap();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    std::os::unix::fs::lchown(board.path().join("705"), Some(61_000), None).unwrap();
    assert_eq!(board.resolve(705).unwrap(), None);
    board.publish(705, Path::new("/home/good")).unwrap();
    assert_eq!(board.resolve(705).unwrap().unwrap().target, Path::new("/home/good"));
}

#[test]
fn a_link_of_somebody_else_on_the_way_is_refused() {
    let (dir, board) = scoreboard();
    let link = dir.path().join("link");
    symlink(board.path(), &link).unwrap();
    Scoreboard::open(&link).unwrap();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    std::os::unix::fs::lchown(&link, Some(61_000), None).unwrap();
    for path in [link.clone(), link.join("below")] {
        let error = Scoreboard::create(&path).unwrap_err().to_string();
        assert!(error.contains("is a link of uid 61000"), "{error}");
    }
    assert!(!board.path().join("below").exists());
}

#[test]
fn a_missing_scoreboard_and_a_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Scoreboard::open(&dir.path().join("none")).unwrap_err();
    assert_eq!(missing.errno(), Errno::ENOENT);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Scoreboard::open(&file).unwrap_err(), ScoreboardError::NotADirectory(_)));
}

#[test]
fn an_entry_that_is_no_link_is_an_error() {
    let (_dir, board) = scoreboard();
    fs::create_dir(board.path().join("705")).unwrap();
    assert_eq!(board.resolve(705).unwrap_err().errno(), Errno::EINVAL);
    symlink("/x", board.path().join("706")).unwrap();
    assert!(board.resolve(706).unwrap().is_some());
}
