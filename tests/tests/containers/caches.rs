//! Cache volumes, from one build to the next.
use std::fs;

use nix::sys::signal::Signal;
use obuilder_tests::build::Ended;
use obuilder_tests::{Containers, process};

use crate::{NOTHING, can_build};

fn with_cache(name: &str, command: &str) -> String {
    format!("(run (cache ({name} (target /c))) (shell \"{command}\"))")
}

#[test]
fn what_a_step_keeps_the_next_one_finds_and_the_image_has_not() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build
        .ops(
            &(with_cache("c", "echo one >> /c/f; cat /c/f")
                + &with_cache("c", "echo two >> /c/f; cat /c/f; mount | grep -c ' /c .*rw,nosuid,nodev'")),
        )
        .done();
    let said: Vec<_> = ended.said().into_iter().filter(|line| !line.contains("(shell")).collect();
    assert_eq!(said, ["one", "one", "two", "1"]);
    assert!(fs::read_dir(build.rootfs(ended.id()).join("c")).unwrap().next().is_none());
    assert_eq!(fs::read(build.store.join("cache/c/f")).unwrap(), b"one\ntwo\n");
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn names_of_any_kind_are_kept_apart() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    for name in ["a/b", "a%2fb", "..", "\"na me:é\""] {
        let ended =
            build.ops(&with_cache(name, &format!("ls /c; echo x > /c/f # {}", name.replace('"', "")))).done();
        assert_eq!(ended.said().iter().filter(|line| **line == "f").count(), 0, "{name}");
    }
    let names = obuilder_tests::build::names(&build.store.join("cache"));
    assert_eq!(names, ["%2e.", "a%252fb", "a%2fb", "na me:é"]);
}

#[test]
fn the_volume_is_the_steps_users_whoever_filled_it() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ops = with_cache("c", "touch /c/f")
        + "(user (uid 1000) (gid 1001))"
        + &with_cache("c", "stat -c '%n %u:%g %a' /c /c/f; touch /c/g && echo own");
    let ended = build.ops(&ops).done();
    let said: Vec<_> = ended.said().into_iter().filter(|line| !line.contains("(shell")).collect();
    assert_eq!(said, ["/c 1000:1001 755", "/c/f 0:0 644", "own"]);
}

#[test]
fn what_a_failed_or_a_stopped_step_kept_is_there_for_the_next_try() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    assert_eq!(build.ops(&with_cache("c", "echo failed > /c/f; exit 1")).code, Some(1));
    let ended = build.ops(&with_cache("c", "cat /c/f; echo more")).done();
    assert!(ended.said().contains(&"failed"), "{ended:?}");
    let (mut child, _output) =
        build.start_waiting(&build.text(&with_cache("c", "echo stopped > /c/f; echo waiting; sleep 1000")));
    assert_eq!(process::stop(&mut child, Signal::SIGTERM).code(), Some(130));
    assert_eq!(fs::read(build.store.join("cache/c/f")).unwrap(), b"stopped\n");
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn of_two_builds_at_once_the_first_to_finish_wins() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    build.ops(&with_cache("c", "echo old > /c/f")).done();
    let slow = with_cache("c", "echo slow > /c/f; echo waiting; sleep 1000 & wait");
    let (mut child, _output) = build.start_waiting(&build.text(&slow));
    let quick = build.ops(&with_cache("c", "cat /c/f; echo quick > /c/f")).done();
    assert!(quick.said().contains(&"old"), "{quick:?}");
    process::stop(&mut child, Signal::SIGINT);
    assert_eq!(fs::read(build.store.join("cache/c/f")).unwrap(), b"quick\n");
}

#[test]
fn cleaning_takes_the_caches_but_those_that_a_build_is_using() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    build.ops(&with_cache("idle", "echo 1 > /c/f")).done();
    let text = build.text(&with_cache(
        "used",
        "echo 1 > /c/f; echo waiting; while ! test -e /c/end; do usleep 10000; done",
    ));
    let (mut child, _output) = build.start_waiting(&text);
    let clean = || Ended::from(process::output(&mut build.store_command(&["clean", "--caches"]))).done();
    let told = clean().stdout;
    assert!(told.ends_with("Removed 1 caches\nKept 1 caches that builds are using\n"), "{told}");
    fs::write(build.store.join("cache-tmp/0-used/end"), "").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read(build.store.join("cache/used/f")).unwrap(), b"1\n");
    assert!(clean().stdout.ends_with("Removed 1 caches\n"));
    assert_eq!(obuilder_tests::build::names(&build.store.join("cache")), NOTHING);
}
