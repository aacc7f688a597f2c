//! `copy` from the source directory.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use obuilder_tests::Build;

use crate::can_build;

#[test]
fn files_directories_and_links_arrive_as_the_users() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    fs::create_dir_all(build.source.join("dir/sub")).unwrap();
    fs::write(build.source.join("a.txt"), "a").unwrap();
    fs::write(build.source.join("dir/sub/tool"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(build.source.join("dir/sub/tool"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("sub/tool", build.source.join("dir/link")).unwrap();
    let ended = build
        .run(
            "((from empty)
              (copy (src a.txt) (dst renamed))
              (copy (src a.txt dir) (dst into/))
              (copy (src dir) (dst /usr/local/share/dir))
              (run (shell \"cat renamed into/a.txt; echo; into/dir/link; readlink into/dir/link; /usr/local/share/dir/sub/tool; echo more >> renamed; stat -c '%U %a' renamed into/dir/sub/tool\")))",
        )
        .done();
    let said = ended.stdout.lines().skip_while(|line| *line != "aa").take(6).collect::<Vec<_>>();
    let [file, tool] = ["644", "755"].map(|mode| format!("{} {mode}", build.user.name()));
    assert_eq!(said, ["aa", "ran", "sub/tool", "ran", &file, &tool]);
}

#[test]
fn changed_bytes_change_the_step_and_changed_times_do_not() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let spec = "((from empty) (copy (src f) (dst f)) (run (shell \"cat f\")))";
    let file = build.source.join("f");
    fs::write(&file, "one\n").unwrap();
    let first = build.run(spec).done();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let same = build.run(spec).done();
    assert_eq!((same.id(), same.stdout.matches("from cache").count()), (first.id(), 3));
    fs::write(&file, "two\n").unwrap();
    let changed = build.run(spec).done();
    assert_ne!(changed.id(), first.id());
    assert!(changed.said().contains(&"two"), "{}", changed.stdout);
}

#[test]
fn a_missing_source_is_named_and_what_lies_outside_is_refused() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    for (source, expected) in [("nope", "Source path \"nope\" not found"), ("../spec", "..")] {
        let ended = build.run(&format!("((from empty) (copy (src {source}) (dst x)))"));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[test]
fn a_stage_copies_from_an_earlier_one() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let ended = build
        .run(
            "((build dev ((from empty) (run (shell \"mkdir out; echo made > out/file\"))))
              (from empty)
              (copy (from (build dev)) (src out) (dst in))
              (run (shell \"cat in/file\")))",
        )
        .done();
    assert!(ended.stdout.starts_with("(build \"dev\" …)\n(from empty)\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("--> finished \"dev\"\n"), "{}", ended.stdout);
    assert!(ended.said().contains(&"made"), "{}", ended.stdout);
}
