//! Base images without docker.
use std::fs;
use std::process::Command;

use obuilder_tests::Containers;

use crate::can_build;

#[test]
fn an_archive_of_a_root_file_system_is_a_base_image() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let archive = build.scratch.path().join("rootfs.tar.gz");
    let made = Command::new("tar").arg("-C").arg(&build.image).arg("-czf").arg(&archive).arg(".").status();
    assert!(made.unwrap().success());
    let spec =
        format!("((from {}) (shell /bin/sh -c) (run (shell \"echo $0; ls -d /tmp\")))", archive.display());
    assert_eq!(build.run(&spec).done().said(), ["/bin/sh", "/tmp"]);
}

#[test]
fn a_place_that_is_no_image_is_named() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let text = build.scratch.path().join("text");
    fs::write(&text, "not an image").unwrap();
    let ended = build.run("((from /no/such/rootfs))");
    assert_eq!(
        ended.stderr,
        "obuilder: base image: /no/such/rootfs: No such file or directory (os error 2)\n"
    );
    let ended = build.run(&format!("((from {}))", text.display()));
    let start = format!(
        "Build step failed: cannot use the image {}: it is neither an archive nor a directory",
        text.display()
    );
    assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
    let ended = build.run("((from ./rootfs))");
    let told = "Build step failed: base image \"./rootfs\": a place must be an absolute path, that is, begin with '/'\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), told));
}

#[test]
fn the_image_itself_stays_as_it_was() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build.steps(&["rm -r /home; echo x >> /etc/passwd; touch /new"]).done();
    assert!(!build.rootfs(ended.id()).join("home").exists());
    assert!(build.image.join("home").is_dir() && !build.image.join("new").exists());
    assert!(
        !fs::read_to_string(build.image.join("etc/passwd"))
            .unwrap()
            .contains('x'.to_string().as_str().repeat(2).as_str())
    );
}
