use super::*;
use crate::host::SystemHost;
use crate::image::hold;
use crate::transfer::trees::require_root;

fn shelf(dir: &Path) -> Shelf {
    Shelf::new(dir.to_owned(), Box::new(SystemHost::default()))
}

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

/// Puts an image in place whose profile says `mark`.
fn make(shelf: &Shelf, image: &str, mark: &str) -> Result<Image, ImageError> {
    let draft = shelf.draft(&name(image))?;
    fs::write(draft.rootfs().join(PROFILE), mark).unwrap();
    shelf.keep(draft, &name(image))
}

fn mark(shelf: &Shelf, image: &str) -> String {
    let home = shelf.find(&name(image)).unwrap().home;
    fs::read_to_string(home.join(PROFILE)).unwrap()
}

fn listed(shelf: &Shelf) -> Vec<String> {
    let shown = |image: Image| format!("{}{}", if image.current { "*" } else { "" }, image.name);
    shelf.list().unwrap().into_iter().map(shown).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_version_is_what_the_name_means_and_the_old_one_stays() {
    if !require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let shelf = shelf(dir.path());
    make(&shelf, "brew@1", "one").unwrap();
    make(&shelf, "brew@2", "two").unwrap();
    assert_eq!((mark(&shelf, "brew"), mark(&shelf, "brew@1")), ("two".into(), "one".into()));
    assert_eq!(listed(&shelf), ["brew@1", "*brew@2"]);
    shelf.choose(&name("brew@1")).unwrap();
    assert_eq!(mark(&shelf, "brew"), "one");
    assert_eq!(names(dir.path()), ["brew", "brew@1", "brew@2"]);
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("brew@2"), 0o700, "others can reach what is in it");
    assert!(matches!(make(&shelf, "brew@2", "other"), Err(ImageError::Exists(_))));
}

#[test]
fn what_is_not_kept_leaves_everything_as_it_was() {
    if !require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let shelf = shelf(dir.path());
    make(&shelf, "brew@1", "one").unwrap();
    drop(shelf.draft(&name("brew@2")).unwrap());
    assert_eq!(names(dir.path()), ["brew", "brew@1"]);
    assert_eq!(mark(&shelf, "brew"), "one");
}

#[test]
fn what_a_killed_process_left_is_cleared_away_and_what_a_living_one_makes_is_not() {
    if !require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let shelf = shelf(dir.path());
    fs::create_dir_all(dir.path().join(".obuilder-image-1-brew@1/rootfs")).unwrap();
    symlink("nowhere", dir.path().join(".obuilder-image-1-link")).unwrap();
    let living = shelf.draft(&name("other@1")).unwrap();
    drop(shelf.draft(&name("brew@1")).unwrap());
    assert!(living.rootfs().is_dir());
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn a_directory_made_by_hand_becomes_a_version() {
    if !require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let shelf = shelf(dir.path());
    fs::create_dir(dir.path().join("brew")).unwrap();
    assert!(matches!(make(&shelf, "brew@1", "one"), Err(ImageError::InTheWay(_))));
    fs::write(dir.path().join("brew").join(PROFILE), "by hand").unwrap();
    assert_eq!(listed(&shelf), ["*brew"]);
    // As somebody leaves it who is killed just before the two change places.
    symlink("brew@1", dir.path().join("brew@before-1")).unwrap();
    make(&shelf, "brew@1", "one").unwrap();
    assert_eq!((mark(&shelf, "brew"), mark(&shelf, "brew@before-1")), ("one".into(), "by hand".into()));
    assert_eq!(listed(&shelf), ["*brew@1", "brew@before-1"]);
}

#[test]
fn an_image_in_use_and_the_one_that_is_meant_are_not_removed() {
    if !require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let shelf = shelf(dir.path());
    make(&shelf, "brew@1", "one").unwrap();
    make(&shelf, "brew@2", "two").unwrap();
    assert!(matches!(shelf.remove(&name("brew@2")), Err(ImageError::Current(_))));
    let held = hold(&dir.path().join("brew@1/home")).unwrap();
    for doomed in ["brew@1", "brew"] {
        assert!(matches!(shelf.remove(&name(doomed)), Err(ImageError::InUse(_))), "{doomed}");
        assert_eq!(names(dir.path()), ["brew", "brew@1", "brew@2"]);
    }
    drop(held);
    shelf.remove(&name("brew@1")).unwrap();
    assert_eq!(names(dir.path()), ["brew", "brew@2"]);
    shelf.remove(&name("brew")).unwrap();
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert!(matches!(shelf.remove(&name("brew")), Err(ImageError::Missing { .. })));
}

#[test]
fn a_users_home_is_neither_replaced_nor_removed() {
    if !require_root() {
        return;
    }
    let home = PathBuf::from("/root");
    let shelf = shelf(Path::new("/"));
    let taken = shelf.take(&Image { name: name("root"), dir: home.clone(), home, current: true });
    assert!(matches!(taken, Err(ImageError::Home { .. })));
    assert!(shelf.check_link(&name("root@1")).is_err());
}

#[test]
fn what_is_being_made_is_closed_to_all_but_root() {
    if !require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let draft = shelf(dir.path()).draft(&name("brew@1")).unwrap();
    assert_eq!(fs::metadata(&draft.dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_is_being_removed_is_not_cleared_away_by_others() {
    if !require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let shelf = shelf(dir.path());
    let image = make(&shelf, "brew@1", "one").unwrap();
    let (going, owned) = shelf.hide(&image.dir).unwrap();
    drop(shelf.draft(&name("other@1")).unwrap());
    assert!(going.exists(), "cleared away while its remover was at it");
    drop(owned);
    drop(shelf.draft(&name("other@1")).unwrap());
    assert!(!going.exists());
}
