//! The README's example, to the letter.
use std::fs;
use std::path::Path;
use std::process::Command;

use obuilder_tests::build::{Ended, names};
use obuilder_tests::{Build, BuildUser, Scratch, binary, mountinfo, process};

use crate::can_build;

const FROM: &str = "2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d";
const ECHO: &str = "2a477e4d73c8c791437038808b09627446de0c7489d99e8652e68b9d1acf64d6";
const CAT: &str = "27c4fcd377b5de03e99061f6c8848f60fbef01bdfd8c5384e44f9afaf825c813";

fn expected(first: bool) -> String {
    let end = |id: &str| {
        if first { format!("---> saved as \"{id}\"\n") } else { format!("---> using \"{id}\" from cache\n") }
    };
    format!(
        "(from empty)\n{}/: (run (shell \"echo hello > hello.txt\"))\n{}/: (run (shell \"cat hello.txt\"))\nhello\n{}Got: \"{CAT}\"\n",
        end(FROM),
        end(ECHO),
        end(CAT)
    )
}

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../example.macos.spec")
}

#[test]
fn the_example_is_built_and_then_taken_from_the_cache() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let run = || Ended::from(process::output(&mut build.command(&example()))).done();
    assert_eq!(run().stdout, expected(true));
    assert_eq!(run().stdout, expected(false));
    assert_eq!(build.left_behind(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(build.result(CAT).join("rootfs/hello.txt")).unwrap(), "hello\n");
    assert_eq!(fs::read_to_string(build.result(CAT).join("log")).unwrap(), "hello\n");
}

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../../../README.md");
    for first in [true, false] {
        let block = format!("```\n{}```\n", expected(first));
        assert!(readme.contains(&block), "README.md lacks:\n{block}");
    }
}

#[test]
fn the_spec_in_the_readme_builds_and_prints_what_it_says() {
    if !can_build() {
        return;
    }
    let readme = include_str!("../../../README.md");
    let spec = readme.split("```lisp\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut build = Build::new();
    build.source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ended = build.run(spec).done();
    let printed: Vec<&str> = ended.stdout.lines().rev().skip(2).take(3).collect();
    assert_eq!(printed, ["docs", "README.md", "hello from /home/obuilder/src"]);
    assert!(readme.contains("prints `hello from /home/obuilder/src`, `README.md`, `docs`"));
}

#[test]
fn what_one_user_built_serves_another() {
    if !can_build() {
        return;
    }
    let first = Build::new();
    first.steps(&["echo made > file"]).done();
    let mut second = Build::new();
    second.store.clone_from(&first.store);
    let ended = second.steps(&["echo made > file", "echo more >> file; stat -c %U file; cat file"]).done();
    assert_eq!(ended.said(), [second.user.name().as_str(), "made", "more"]);
    assert_eq!(ended.stdout.matches("from cache").count(), 2, "{}", ended.stdout);
}

/// The command line of the original's own introduction, but for the store.
#[test]
fn the_command_line_of_the_original_works() {
    if !can_build() {
        return;
    }
    let user = BuildUser::exactly(705);
    let scratch = Scratch::new();
    fs::copy(example(), scratch.path().join("example.macos.spec")).unwrap();
    let store = format!("--store=rsync:{}/store", scratch.path().display());
    let line = [
        "macos",
        ".",
        &store,
        "-f",
        "example.macos.spec",
        "--uid=705",
        "--fallback=/tmp",
        "--scoreboard=/tmp",
    ];
    let board = Path::new("/tmp/obuilder-scoreboard");
    let existed = board.exists();
    let mut command = Command::new(binary::obuilder());
    let ended = Ended::from(process::output(command.args(line).current_dir(scratch.path())));
    let left = names(board);
    if !existed {
        let _ = fs::remove_dir(board);
    }
    assert_eq!(ended.done().stdout, expected(true));
    assert!(!left.contains(&user.uid.to_string()), "a link was left: {left:?}");
    assert_eq!(mountinfo::of_scoreboard(board), [], "mounts");
    assert!(!names(Path::new("/tmp")).contains(&user.uid.to_string()), "a link was left in /tmp");
}
