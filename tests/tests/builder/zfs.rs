//! Builds on a store in a ZFS pool: the same as on any other, and nothing is mounted while nobody uses it.
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::Signal;
use obuilder_tests::build::{Ended, spec_of};
use obuilder_tests::{Build, Need, Pool, process, require};

use crate::can_build;

/// A pool and a build with its store there; `None` if that cannot be here.
fn build() -> Option<(Pool, Build)> {
    if !can_build() || !require(&[Need::Tool("zpool"), Need::Tool("zfs-fuse")]) {
        return None;
    }
    let mut build = Build::new();
    let pool = Pool::below(build.scratch.path());
    (build.kind, build.store) = ("zfs", pool.dir.clone());
    Some((pool, build))
}

/// Nothing in the store is mounted, nor half-made.
#[track_caller]
fn assert_idle(pool: &Pool) {
    for group in ["result", "result-tmp", "cache", "cache-tmp"] {
        assert_eq!(pool.mounted_in(group), [""; 0], "mounted in {group}");
    }
    for group in ["result-tmp", "cache-tmp"] {
        let listed = pool.zfs(&["list", "-H", "-r", "-o", "name", &format!("POOL/{group}")]);
        assert_eq!(listed, format!("{}/{group}\n", pool.name));
    }
}

#[test]
fn a_build_in_a_pool_is_kept_used_again_and_deleted() {
    let Some((pool, build)) = build() else { return };
    let steps = ["echo made > /usr/local/file; cat ~/local/file", "cat /usr/local/file; id -u"];
    let first = build.steps(&steps).done();
    assert_eq!(first.said(), ["made", "made", &build.user.uid.to_string()]);
    assert_eq!(first.stdout.matches("saved as").count(), 3);
    assert_idle(&pool);
    let listed = pool.zfs(&["list", "-H", "-r", "-t", "snapshot", "-o", "name", "POOL/result"]);
    assert_eq!(listed.lines().count(), 3);
    assert!(listed.contains(&format!("result/{}@snap\n", first.id())), "{listed}");
    let again = build.steps(&steps).done();
    assert_eq!((again.id(), again.said()), (first.id(), first.said()));
    assert_eq!(again.stdout.matches("from cache").count(), 3);
    assert_eq!(build.on_store(&["log", first.id()]).done().stdout, format!("made\n{}\n", build.user.uid));
    assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
    build.on_store(&["prune", "--keep=1"]).done();
    build.on_store(&["clean"]).done();
    assert_eq!(pool.zfs(&["list", "-H", "-r", "-o", "name", "POOL/result"]).lines().count(), 1);
    assert_idle(&pool);
}

#[test]
fn stages_are_copied_from_and_caches_kept() {
    let Some((pool, build)) = build() else { return };
    let step = "cat .cache/n 2>/dev/null; echo x >> .cache/n; cat from-stage/file";
    let spec = |n| {
        format!(
            "((build s ((from empty) (run (shell \"mkdir out; echo staged > out/file\"))))
              (from empty)
              (copy (from (build s)) (src out) (dst from-stage))
              (run (cache (c (target /home/obuilder/.cache))) (shell \"{step} # {n}\")))"
        )
    };
    assert_eq!(build.run(&spec(1)).done().said(), ["staged"]);
    assert_eq!(build.run(&spec(2)).done().said(), ["x", "staged"]);
    assert_eq!(build.run(&spec(3)).done().said(), ["x", "x", "staged"]);
    assert_idle(&pool);
    assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
}

#[test]
fn a_killed_builder_leaves_what_the_next_one_clears_away() {
    let Some((pool, build)) = build() else { return };
    let spec = build.spec(&spec_of(&["echo first", "echo waiting; sleep 900"]));
    let mut child = build.command(&spec).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "waiting"));
    assert_eq!(pool.mounted_in("result-tmp").len(), 1);
    process::stop(&mut child, Signal::SIGKILL);
    let ended = build.steps(&["echo first", "echo second"]).done();
    assert_eq!(ended.said(), ["first", "second"]);
    assert_eq!(ended.stdout.matches("from cache").count(), 2);
    assert_idle(&pool);
    assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
}

#[test]
fn a_failed_step_and_a_stopped_one_leave_nothing_in_the_pool() {
    let Some((pool, build)) = build() else { return };
    assert_eq!(build.steps(&["echo half > half; exit 3"]).code, Some(1));
    assert_idle(&pool);
    let spec = build.spec(&spec_of(&["echo waiting; sleep 900"]));
    let mut child = build.command(&spec).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "waiting"));
    assert_eq!(process::stop(&mut child, Signal::SIGTERM).code(), Some(130));
    assert_idle(&pool);
}

#[test]
fn two_builders_on_one_pool_make_each_result_once() {
    let Some((pool, first)) = build() else { return };
    let mut second = Build::new();
    (second.kind, second.store) = ("zfs", pool.dir.clone());
    let spec =
        first.spec(&spec_of(&["head -c 12 /dev/urandom | base64", "head -c 12 /dev/urandom | base64"]));
    let children = [&first, &second].map(|build| {
        build
            .command(&spec)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let ended = children.map(|child| Ended::from(child.wait_with_output().unwrap()).done());
    assert_eq!(ended[0].said(), ended[1].said());
    let saved: usize = ended.iter().map(|ended| ended.stdout.matches("saved as").count()).sum();
    assert_eq!(saved, 3, "each result is made by one of them");
    assert_idle(&pool);
}

#[test]
fn a_pool_that_is_not_there_or_elsewhere_is_named() {
    let Some((pool, build)) = build() else { return };
    let mut other = Build::new();
    (other.kind, other.store) = ("zfs", "/nosuchpool".into());
    let ended = other.on_store(&["ls"]);
    assert_eq!(ended.code, Some(3));
    let why =
        "there is no such pool; zpool list shows those that there are, zpool import those that could be";
    assert_eq!(ended.stderr, format!("obuilder: cannot use the pool nosuchpool: {why}\n"));
    other.store = format!("/{}", pool.name).into();
    let ended = other.on_store(&["ls"]);
    let (name, dir) = (&pool.name, pool.dir.display());
    let why = format!("its mountpoint is {dir}, not /{name}; use --store=zfs:{dir}");
    assert_eq!(ended.stderr, format!("obuilder: cannot use the pool {name}: {why}\n"));
    assert_eq!(build.on_store(&["ls"]).code, Some(3), "a pool without a store");
}

/// A base image as OBuilder's Mac workers have them: home and prefix are datasets that are mounted nowhere.
fn make_worker(pool: &Pool) {
    for below in ["base-image", "base-image/worker", "base-image/worker/home", "base-image/worker/brew"] {
        pool.zfs(&["create", &format!("POOL/{below}")]);
    }
    let dir = pool.dir.join("base-image/worker");
    fs::write(dir.join("home/.obuilder_profile.sh"), "export FROM=profile\n").unwrap();
    std::os::unix::fs::symlink("/usr/local", dir.join("home/local")).unwrap();
    fs::create_dir(dir.join("brew/bin")).unwrap();
    fs::write(dir.join("brew/bin/brew"), "#!/bin/sh\necho brewed\n").unwrap();
    for part in ["home", "brew"] {
        pool.zfs(&["snapshot", &format!("POOL/base-image/worker/{part}@snap")]);
        pool.zfs(&["set", "mountpoint=none", &format!("POOL/base-image/worker/{part}")]);
    }
}

#[test]
fn a_base_image_of_datasets_that_are_not_mounted_is_listed_shown_and_built_from() {
    let Some((pool, build)) = build() else { return };
    build.steps(&[]).done();
    make_worker(&pool);
    let spec = "((from worker) (run (shell \"sh /usr/local/bin/brew; echo $FROM; test ! -L ~/local\")))";
    assert_eq!(build.run(spec).done().said(), ["brewed", "profile"]);
    assert_idle(&pool);
    let listed = build.on_store(&["image", "list"]).done().stdout;
    assert!(listed.lines().any(|line| line == "* worker"), "{listed}");
    let shown = build.on_store(&["image", "show", "worker"]).done().stdout;
    let dir = pool.dir.join("base-image/worker");
    assert!(shown.contains(&format!("directory  {}\n", dir.display())), "{shown}");
    assert!(shown.contains("holds      6 files"), "{shown}");
    assert_idle(&pool);
    assert_eq!(pool.mounted_in("base-image"), ["worker"], "as it was before");
    assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
}
