//! Stores that are full, read-only, or another program's.
use std::fs;

use nix::mount::{MsFlags, mount};
use obuilder_tests::Build;
use obuilder_tests::build::names;

use crate::{can_build, refused};

const ONE: &str = "((from empty) (run (shell \"echo one\")))";

/// A build whose store is a file system of its own, of `size`.
fn on_a_disk_of(size: &str) -> Build {
    let build = Build::new();
    fs::create_dir(&build.store).unwrap();
    let options = format!("size={size},mode=755");
    mount(Some("none"), &build.store, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
    build
}

#[test]
fn a_store_that_became_read_only_is_named_by_every_command() {
    if !can_build() {
        return;
    }
    let build = on_a_disk_of("64m");
    let id = build.run(ONE).done().id().to_owned();
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, &build.store, None::<&str>, flags, None::<&str>).unwrap();
    let lock = build.store.join("state/locks/opening");
    let told = format!("obuilder: cannot lock {}: its file system is read-only", lock.display());
    refused(&build.run(ONE), 3, &told);
    for words in [&["ls"][..], &["log", &id], &["delete", &id], &["clean"], &["prune", "--keep=0"]] {
        refused(&build.on_store(words), 3, &told);
    }
}

#[test]
fn a_base_image_that_does_not_fit_is_told_by_the_file_and_what_was_there_still_serves() {
    if !can_build() {
        return;
    }
    let build = on_a_disk_of("16m");
    let images = build.scratch.dir("images");
    fs::create_dir_all(images.join("large/local")).unwrap();
    fs::write(images.join("large/.obuilder_profile.sh"), "").unwrap();
    fs::write(images.join("large/big"), vec![7; 32 << 20]).unwrap();
    let build = build.with(format!("--base-images={}", images.display()));
    build.run(ONE).done();
    let ended = build.run("((from large))");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.starts_with("obuilder: cannot write "), "{}", ended.stderr);
    let end = "/rootfs/big: no space left on the device that holds it\n";
    assert!(ended.stderr.ends_with(end) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    assert_eq!(names(&build.store.join("result-tmp")), Vec::<String>::new());
    assert_eq!(build.run(ONE).done().stdout.matches("from cache").count(), 2);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let file = build.store.join("state/db/db.sqlite");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let database = rusqlite::Connection::open(&file).unwrap();
    database.execute_batch("CREATE TABLE builds (id TEXT, what TEXT)").unwrap();
    drop(database);
    let told = format!(
        "obuilder: cannot use the database {}: its table is not that of a store (no such column: rc); move it away, \
         and it is made anew from the results",
        file.display()
    );
    refused(&build.run(ONE), 3, &told);
    fs::remove_file(&file).unwrap();
    build.run(ONE).done();
}

#[test]
fn a_result_that_is_no_directory_is_made_anew() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let id = build.run(ONE).done().id().to_owned();
    fs::remove_dir_all(build.result(&id)).unwrap();
    fs::write(build.result(&id), "").unwrap();
    assert!(build.run(ONE).done().stdout.contains(&format!("---> saved as \"{id}\"")));
    assert_eq!(fs::read_to_string(build.result(&id).join("log")).unwrap(), "one\n");
}
