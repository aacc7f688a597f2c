//! What only a store of layers does.
#![cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};

use super::*;
use crate::transfer::trees::{mounts, require_root};

fn case() -> Option<Case> {
    require_root().then(|| Case::new(Kind::Overlayfs))
}

/// How often the text is in the table of mounts of this thread.
fn mounted(text: &str) -> usize {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    table.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_result_holds_what_its_step_changed_and_nothing_stays_mounted_needs_root() {
    let Some(case) = case() else { return };
    let draft = case.draft(1, None);
    for number in 0..100 {
        fs::write(draft.rootfs().join(format!("file-{number}")), vec![7; 5000]).unwrap();
    }
    draft.keep().unwrap();
    let draft = case.draft(2, Some(1));
    assert_eq!(mounted("overlay"), 1);
    fs::write(draft.rootfs().join("file-7"), "changed").unwrap();
    fs::remove_file(draft.rootfs().join("file-8")).unwrap();
    let kept = draft.keep().unwrap();
    assert_eq!(mounted("overlay"), 0);
    let layer = case.path("result").join(id(2).as_str()).join("rootfs");
    let mut names: Vec<_> = fs::read_dir(layer).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["file-7", "file-8"]);
    let tree = kept.tree().unwrap();
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 99);
    assert_eq!(mounted("overlay"), 0);
}

#[test]
fn directories_of_layers_below_are_renamed_and_replaced_needs_root() {
    let Some(case) = case() else { return };
    let draft = case.draft(1, None);
    fs::create_dir_all(draft.rootfs().join("a/b")).unwrap();
    fs::write(draft.rootfs().join("a/b/file"), "one").unwrap();
    draft.keep().unwrap();
    let draft = case.draft(2, Some(1));
    fs::rename(draft.rootfs().join("a"), draft.rootfs().join("c")).unwrap();
    draft.keep().unwrap();
    let draft = case.draft(3, Some(2));
    fs::rename(draft.rootfs().join("c/b"), draft.rootfs().join("b")).unwrap();
    fs::create_dir(draft.rootfs().join("a")).unwrap();
    draft.keep().unwrap();
    let draft = case.draft(4, Some(3));
    assert_eq!(fs::read_to_string(draft.rootfs().join("b/file")).unwrap(), "one");
    assert_eq!(fs::read_dir(draft.rootfs().join("a")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(draft.rootfs().join("c")).unwrap().count(), 0);
    fs::remove_dir_all(draft.rootfs().join("b")).unwrap();
    fs::create_dir(draft.rootfs().join("b")).unwrap();
    draft.keep().unwrap();
    assert_eq!(fs::read_dir(tree(&*case.store, 4).join("b")).unwrap().count(), 0);
}

#[test]
fn the_root_of_a_tree_keeps_its_owner_and_mode_needs_root() {
    let Some(case) = case() else { return };
    let draft = case.draft(1, None);
    chown(draft.rootfs(), Some(705), Some(20)).unwrap();
    xattr::set(draft.rootfs(), "user.colour", b"red").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o2750);
    fs::set_permissions(draft.rootfs(), mode).unwrap();
    let before = facts(&draft.rootfs());
    draft.keep().unwrap();
    case.draft(2, Some(1)).keep().unwrap();
    assert_eq!(facts(&case.draft(3, Some(2)).rootfs()), before);
}

#[test]
fn a_result_whose_layer_below_is_lost_is_named_with_what_to_do_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    case.make(2, Some(1));
    case.lose(1);
    let error = case.store.claim(&id(3), Some(&id(2))).err().unwrap().to_string();
    let result = |number| case.path("result").join(id(number).as_str());
    let (two, one) = (result(2), result(1));
    assert_eq!(
        error,
        format!(
            "the result {} stands on {}, which is not there; delete it, and what was made from it, with \
             obuilder delete",
            two.display(),
            one.display()
        )
    );
    let flaws = crate::store::verify::verify(&case.url(), false).unwrap().flaws;
    assert!(flaws.iter().any(|flaw| flaw.what == error), "{flaws:?}");
    assert!(case.names("result-tmp").is_empty());
}

#[test]
fn what_stood_on_a_lost_result_does_not_stand_on_the_one_that_was_made_since_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    case.make(2, Some(1));
    case.make(3, Some(2));
    case.lose(1);
    case.make(1, None);
    let error = case.store.claim(&id(4), Some(&id(3))).err().unwrap().to_string();
    let result = |number| case.path("result").join(id(number).as_str());
    let (two, one) = (result(2), result(1));
    let told =
        format!("the result {} stands on {}, which was made anew since; ", two.display(), one.display());
    assert!(error.starts_with(&told), "{error}");
    crate::store::removal::delete(&*case.store, &id(2), |_| ()).unwrap();
    case.make(2, Some(1));
    case.make(3, Some(2));
}

#[test]
fn layers_that_obuilder_made_serve_needs_root() {
    let Some(case) = case() else { return };
    let result = |number| case.path("result").join(id(number).as_str());
    // Its layers are whole results: one that changed no file has no tree of its own.
    fs::create_dir_all(result(1).join("rootfs")).unwrap();
    fs::write(result(1).join("rootfs/1"), "file 1").unwrap();
    fs::write(result(1).join("env"), "((env ()))").unwrap();
    fs::create_dir(result(2)).unwrap();
    for (link, goal) in [("parent", result(1)), ("env", result(1).join("env"))] {
        std::os::unix::fs::symlink(goal, result(2).join(link)).unwrap();
    }
    assert!(case.found(1) && case.found(2));
    assert_eq!(fs::read_to_string(tree(&*case.store, 2).join("1")).unwrap(), "file 1");
    let draft = case.draft(3, Some(2));
    assert_eq!(fs::read_to_string(draft.rootfs().join("1")).unwrap(), "file 1");
    assert_eq!(fs::read_to_string(draft.env()).unwrap(), "((env ()))");
}

#[test]
fn a_store_with_a_long_path_and_odd_characters_serves_needs_root() {
    if !require_root() {
        return;
    }
    let site = Site::new(Kind::Overlayfs);
    let dir = site.temp.path().join("mnt").join("x".repeat(200)).join(OsStr::from_bytes(b"a:b,c\\d\n\xff"));
    let store = open(&StoreUrl::Overlayfs(dir)).unwrap();
    for number in 1..=4 {
        let draft = draft(&*store, number, (number > 1).then(|| number - 1));
        fs::write(draft.rootfs().join(number.to_string()), "x").unwrap();
        draft.keep().unwrap();
    }
    assert_eq!(fs::read_dir(tree(&*store, 4)).unwrap().count(), 4);
}

/// Layers are of the store, which may be moved: what is in a layer says nothing of where it is.
#[test]
fn a_store_that_was_moved_serves_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    case.make(2, Some(1));
    let (dir, moved) = (case.url().dir().to_owned(), case.url().dir().with_file_name("moved"));
    let Case { store, site } = case;
    drop(store);
    fs::rename(&dir, &moved).unwrap();
    let store = open(&StoreUrl::Overlayfs(moved)).unwrap();
    assert_eq!(fs::read_dir(draft(&*store, 3, Some(2)).rootfs()).unwrap().count(), 2);
    drop(store);
    drop(site);
}

#[test]
fn layers_serve_on_other_file_systems_too_needs_root_and_xfs() {
    if !require_root() {
        return;
    }
    let site = Site::new(Kind::Xfs);
    let dir = site.temp.path().join("mnt/layers");
    let store = open(&StoreUrl::Overlayfs(dir)).unwrap();
    draft(&*store, 1, None).keep().unwrap();
    let draft = draft(&*store, 2, Some(1));
    fs::write(draft.rootfs().join("x"), "x").unwrap();
    let kept = draft.keep().unwrap();
    assert_eq!(fs::read_to_string(kept.tree().unwrap().join("x")).unwrap(), "x");
}

#[test]
fn a_place_where_no_layers_can_be_is_refused_and_nothing_is_left_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    // Layers cannot lie on layers.
    let inside = case.draft(2, Some(1)).rootfs().join("store");
    let draft = case.draft(3, Some(1));
    let inside = draft.rootfs().join(inside.file_name().unwrap());
    let error = open(&StoreUrl::Overlayfs(inside.clone())).err().unwrap().to_string();
    let start = format!("overlayfs cannot be used in {}: ", inside.display());
    assert!(error.starts_with(&start), "{error}");
    assert_eq!(fs::read_dir(draft.rootfs()).unwrap().count(), 1);
}

#[test]
fn a_full_device_is_named_at_each_stage_and_nothing_is_lost_needs_root() {
    if !require_root() {
        return;
    }
    let temp = TempDir::new().unwrap();
    assert!(mounts::tmpfs(temp.path(), "3m"));
    let url = StoreUrl::Overlayfs(temp.path().join("store"));
    let store = open(&url).unwrap();
    let draft = draft(&*store, 1, None);
    fs::write(draft.rootfs().join("1"), "x").unwrap();
    drop(draft.keep().unwrap());
    let filler = temp.path().join("filler");
    let _ = fs::write(&filler, vec![1; 4 << 20]);
    let full = |error: String| assert!(error.contains("no space left on the device"), "{error}");
    match store.claim(&id(2), Some(&id(1))) {
        Err(error) => full(error.to_string()),
        Ok(Claim::Build(draft)) => {
            let written = fs::write(draft.rootfs().join("1"), vec![1; 1 << 20]);
            assert_eq!(written.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
            if let Err(error) = draft.keep() {
                full(error.to_string());
            }
        }
        Ok(Claim::Cached(_)) => panic!("nobody made it"),
    }
    fs::remove_file(&filler).unwrap();
    drop(store);
    let store = open(&url).unwrap();
    assert_eq!(fs::read_to_string(tree(&*store, 1).join("1")).unwrap(), "x");
    assert!(crate::store::doctor::examine(&url).unwrap().is_empty());
    drop(store);
    nix::mount::umount2(temp.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn a_file_keeps_its_number_from_step_to_step_until_it_is_changed_needs_root() {
    let Some(case) = case() else { return };
    case.make(1, None);
    let number = |draft: &dyn Draft| fs::metadata(draft.rootfs().join("1")).unwrap().ino();
    let (two, three) = (case.draft(2, Some(1)), case.draft(3, Some(1)));
    assert_eq!(number(two.as_ref()), number(three.as_ref()));
    let before = number(two.as_ref());
    fs::write(two.rootfs().join("1"), "changed").unwrap();
    assert_eq!(number(two.as_ref()), before);
}
