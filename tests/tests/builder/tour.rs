//! The README's tour: every command in it is run, and prints what stands there.
use std::path::Path;
use std::process::Command;

use obuilder_tests::build::Ended;
use obuilder_tests::{Build, binary, process};

use crate::can_build;

const README: &str = include_str!("../../../README.md");

/// The commands in the README's transcripts, each with what is printed after it.
fn tour() -> Vec<(Vec<&'static str>, String)> {
    let transcripts = README.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = transcripts.flat_map(|transcript| transcript.split("$ ").skip(1));
    let parted = commands.map(|command| command.split_once('\n').unwrap());
    parted.map(|(line, printed)| (line.split(' ').collect(), printed.to_owned())).collect()
}

/// Dates and times of day differ, in digits alone.
fn without_dates(text: &str) -> String {
    let plain = |word: &str| match word.len() {
        8 | 10 if word.bytes().all(|b| b.is_ascii_digit() || b"-:".contains(&b)) => "N".repeat(word.len()),
        _ => word.to_owned(),
    };
    text.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_command_of_the_tour_prints_what_the_readme_says() {
    if !can_build() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let build = Build::new();
    build.run_file(&root.join("example.macos.spec")).done();
    let commands = tour();
    assert!(commands.len() >= 10, "{commands:?}");
    for (words, printed) in commands {
        assert_eq!(words[0], "obuilder");
        let store = build.store.display().to_string();
        let words = words[1..].iter().map(|word| word.replace("rsync:DIR", &format!("rsync:{store}")));
        let words: Vec<String> = words.collect();
        let mut command = Command::new(binary::obuilder());
        let ended = Ended::from(process::output(command.args(&words).current_dir(&root))).done();
        assert_eq!(without_dates(&ended.stdout), without_dates(&printed), "{words:?}");
    }
}

#[test]
fn the_mistake_in_the_readme_is_told_as_it_says() {
    let build = Build::new();
    let spec = build.scratch.path().join("typo.spec");
    std::fs::write(&spec, "((from empty)\n (rnu (shell \"make\")))\n").unwrap();
    let mut command = Command::new(binary::obuilder());
    let command = command.args(["check", "-f", "typo.spec"]).current_dir(build.scratch.path());
    let ended = Ended::from(process::output(command));
    assert!(README.contains(&format!("```\n{}```\n", ended.stderr)), "{}", ended.stderr);
}
