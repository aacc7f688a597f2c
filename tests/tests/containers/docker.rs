//! Base images through a docker client: here a script that answers as one.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use obuilder_tests::build::Ended;
use obuilder_tests::{Containers, process};

use crate::{NOTHING, can_build};

/// A client that knows one image, `known`, and notes what it is asked.
const CLIENT: &str = r#"#!/bin/sh
echo "$*" >> LOG
for last; do :; done
case $1 in
  create) [ "$last" = known ] || { echo "no image $last" >&2; exit 1; }
          echo "pulling known" >&2; echo container-1 ;;
  export) [ -e SLOW ] && { echo exporting; exec sleep 86407; }
          exec tar -C IMAGE -c . ;;
  image) printf 'PATH=/bin\0GREETING=hello world\0\n' ;;
  rm) echo container-1 ;;
esac
"#;

struct Docker {
    build: Containers,
    bin: PathBuf,
}

impl Docker {
    fn new() -> Self {
        let build = Containers::new();
        let bin = build.scratch.dir("bin");
        let at = |name: &str| build.scratch.path().join(name).display().to_string();
        let script =
            CLIENT.replace("LOG", &at("log")).replace("SLOW", &at("slow")).replace("IMAGE", &at("image"));
        fs::write(bin.join("docker"), script).unwrap();
        fs::set_permissions(bin.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { build, bin }
    }

    fn command(&self, spec: &str) -> Command {
        let mut command = self.build.command(&self.build.spec(spec));
        command.env("PATH", format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap()));
        command
    }

    fn run(&self, spec: &str) -> Ended {
        process::output(&mut self.command(spec)).into()
    }

    fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.build.scratch.path().join("log")).unwrap_or_default();
        log.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }
}

#[test]
fn an_image_is_created_exported_removed_and_its_variables_are_set() {
    if !can_build() {
        return;
    }
    let docker = Docker::new();
    let spec = "((from known) (shell /bin/sh -c) (run (shell \"echo $GREETING; echo $PATH\")))";
    let ended = docker.run(spec).done();
    assert_eq!(ended.said(), ["pulling known", "hello world", "/bin"]);
    assert_eq!(docker.asked(), ["create", "export", "rm", "image"]);
    let again = docker.run(spec).done();
    assert_eq!(again.said(), ended.said());
    assert_eq!(docker.asked().len(), 4, "docker is not asked again");
}

#[test]
fn an_image_that_docker_has_not_fails_the_build_with_dockers_words() {
    if !can_build() {
        return;
    }
    let docker = Docker::new();
    let ended = docker.run("((from unknown))");
    assert_eq!((ended.code, ended.said()), (Some(1), vec!["no image unknown"]));
    let told = "Build step failed: Failure(\"\\\"docker\\\" \\\"create\\\" \\\"--\\\" \\\"unknown\\\" failed with exit status 1\")\n";
    assert_eq!(ended.stderr, told);
    assert_eq!(docker.build.left_behind(), NOTHING);
}

#[test]
fn a_fetch_that_is_stopped_ends_the_client_and_removes_the_container() {
    if !can_build() {
        return;
    }
    let docker = Docker::new();
    fs::write(docker.build.scratch.path().join("slow"), "").unwrap();
    let mut child = docker
        .command("((from known))")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert!(process::eventually(|| docker.asked().len() == 2));
    assert_eq!(process::stop(&mut child, Signal::SIGTERM).code(), Some(130));
    assert_eq!(docker.asked(), ["create", "export", "rm"]);
    assert!(!obuilder_tests::containers::is_running("86407"));
    assert_eq!(docker.build.left_behind(), NOTHING);
}

#[test]
fn a_machine_without_docker_is_told_so() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let mut command = build.command(&build.spec("((from known))"));
    let ended = Ended::from(process::output(command.env("PATH", "/nowhere")));
    assert_eq!(ended.code, Some(3));
    let start = "obuilder: cannot run \"docker\" \"create\" \"--\" \"known\": No such file or directory";
    assert!(ended.stderr.starts_with(start), "{}", ended.stderr);
}
