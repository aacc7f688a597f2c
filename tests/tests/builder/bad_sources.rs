//! Source trees that cannot be copied: the file is named, with the reason, and nothing is left.
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use obuilder_tests::Build;
use obuilder_tests::build::Ended;

use crate::{can_build, refused};

fn copied(build: &Build, copy: &str) -> Ended {
    build.run(&format!("((from empty) (copy {copy}))"))
}

#[test]
fn a_source_that_holds_the_store_is_refused_unless_the_store_is_left_out() {
    if !can_build() {
        return;
    }
    let mut build = Build::new();
    build.store = build.source.join("below/store");
    fs::create_dir(build.source.join("below")).unwrap();
    fs::write(build.source.join("a"), "a").unwrap();
    let store = build.store.display().to_string();
    for source in [".", "below", "below/", "/", "below/store/state"] {
        let ended = copied(&build, &format!("(src {source}) (dst /x)"));
        if source == "below/store/state" {
            assert_ne!(ended.code, Some(2), "{ended:?}");
            continue;
        }
        let why =
            format!("the store {store} is in it; name what is wanted of it, or put the store elsewhere");
        refused(&ended, 1, &format!("Build step failed: cannot copy {source:?}: {why}"));
    }
    copied(&build, "(src a) (dst /x)").done();
    let id = copied(&build, "(src .) (dst /x) (exclude store)").done().id().to_owned();
    assert!(build.result(&id).join("rootfs/x/below").is_dir());
    assert!(!build.result(&id).join("rootfs/x/below/store").exists());
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    if !can_build() {
        return;
    }
    let mut build = Build::new();
    // A file that root cannot read either.
    build.source = Path::new("/proc/sys").to_owned();
    let ended = copied(&build, "(src vm/compact_memory) (dst /x)");
    let told = "obuilder: cannot read /proc/sys/vm/compact_memory: Permission denied (os error 13)";
    refused(&ended, 3, told);
    assert_eq!(build.left_behind(), Vec::<String>::new());
}

#[test]
fn names_that_are_no_text_and_links_that_lead_nowhere_are_copied_as_they_are() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let name = std::ffi::OsStr::from_bytes(b"\xff \n'\"");
    fs::write(build.source.join(name), "odd").unwrap();
    symlink("/no/where", build.source.join("dangling")).unwrap();
    symlink("self", build.source.join("self")).unwrap();
    let id = copied(&build, "(src .) (dst /x)").done().id().to_owned();
    let copy = build.result(&id).join("rootfs/x");
    assert_eq!(fs::read_to_string(copy.join(name)).unwrap(), "odd");
    assert_eq!(fs::read_link(copy.join("self")).unwrap(), Path::new("self"));
    assert_eq!(fs::read_link(copy.join("dangling")).unwrap(), Path::new("/no/where"));
}
