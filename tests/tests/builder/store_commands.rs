//! What may be done with a store besides building.
use std::fs;

use obuilder_tests::Build;
use obuilder_tests::build::names;

use crate::can_build;

/// A store with a base image and two results made from it, and their ids in the order they were made.
fn filled() -> (Build, [String; 3]) {
    let build = Build::new();
    let base = build.run("((from empty))").done().id().to_owned();
    let [one, two] =
        ["echo one", "echo two; echo more"].map(|command| build.steps(&[command]).done().id().to_owned());
    (build, [base, one, two])
}

#[test]
fn results_are_listed_with_when_they_were_used_and_how_many_were_made_from_them() {
    if !can_build() {
        return;
    }
    let (build, ids) = filled();
    let listed = build.on_store(&["ls"]).done().stdout;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("ID ") && lines[0].ends_with("  RESULTS MADE FROM IT"), "{listed}");
    for (id, children) in ids.iter().zip(["2", "0", "0"]) {
        let line = lines.iter().find(|line| line.starts_with(id)).unwrap();
        let fields: Vec<&str> = line.split("  ").collect();
        assert_eq!((fields.len(), fields[3]), (4, children), "{line}");
        assert_eq!((fields[1].len(), fields[2].len()), (19, 19), "{line}");
    }
    let json = build.on_store(&["ls", "--json"]).done().stdout;
    let base = json.lines().find(|line| line.contains(&format!("\"id\":\"{}\"", ids[0]))).unwrap();
    assert!(base.contains("\"children\":2") && base.contains("\"parent\":null"), "{base}");
    assert_eq!(json.matches(&format!("\"parent\":\"{}\"", ids[0])).count(), 2, "{json}");
}

#[test]
fn a_log_is_shown_as_it_was_printed() {
    if !can_build() {
        return;
    }
    let (build, [base, one, two]) = filled();
    assert_eq!(build.on_store(&["log", &base]).done().stdout, "");
    assert_eq!(build.on_store(&["log", &one]).done().stdout, "one\n");
    assert_eq!(build.on_store(&["log", &two]).done().stdout, "two\nmore\n");
}

#[test]
fn deleting_a_result_deletes_what_was_made_from_it_first_and_says_so() {
    if !can_build() {
        return;
    }
    let (build, [base, one, two]) = filled();
    assert_eq!(build.on_store(&["delete", &one]).done().stdout, format!("Removing {one}\n"));
    assert_eq!(
        build.on_store(&["delete", &base]).done().stdout,
        format!("Removing {two}\nRemoving {base}\n")
    );
    assert!(build.results().is_empty());
}

#[test]
fn cleaning_takes_what_was_used_in_this_second_and_caches_only_when_told_to() {
    if !can_build() {
        return;
    }
    let (build, _) = filled();
    let cache = build.store.join("cache/c");
    fs::create_dir(&cache).unwrap();
    assert_eq!(build.on_store(&["clean"]).done().stdout, "Removed 3 items\n");
    assert!(build.results().is_empty() && cache.exists());
    assert_eq!(build.on_store(&["ls", "--caches"]).done().stdout, "c\n");
    assert_eq!(build.on_store(&["clean", "--caches"]).done().stdout, "Removed 0 items\nRemoved 1 caches\n");
    assert!(names(&build.store.join("cache")).is_empty() && names(&build.store.join("cache-tmp")).is_empty());
}

#[test]
fn pruning_keeps_what_the_rules_keep() {
    if !can_build() {
        return;
    }
    let (build, [base, ..]) = filled();
    let pruned = |rule: &str| build.on_store(&["prune", rule]).done().stdout;
    assert_eq!(pruned("--keep=3"), "Removed 0 items\n");
    assert_eq!(pruned("--older-than=1h"), "Removed 0 items\n");
    assert_eq!(pruned("--free=0"), "Removed 0 items\n");
    assert_eq!(pruned("--keep=2"), "Removed 1 items\n");
    assert!(build.results().contains(&base));
    let left = build.on_store(&["prune", "--keep=0", "--json"]).done().stdout;
    assert_eq!(left.lines().count(), 2, "{left}");
    assert!(build.results().is_empty());
}

#[test]
fn the_doctor_tells_what_differs_and_mends_it_when_told_to() {
    if !can_build() {
        return;
    }
    let (build, [_, one, two]) = filled();
    assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
    fs::remove_dir_all(build.result(&one)).unwrap();
    let left = build.store.join("state/sandbox").join(build.user.uid.to_string());
    fs::create_dir(&left).unwrap();
    let sick = build.on_store(&["doctor"]);
    let said = format!(
        "the database knows {one}, which is not there\n{} was left by a build that was killed\n",
        left.display()
    );
    assert_eq!((sick.code, &sick.stdout), (Some(1), &said));
    let hint = format!(
        "obuilder: 2 things differ in the store rsync:{}\nhint: mend with --repair\n",
        build.store.display()
    );
    assert_eq!(sick.stderr, hint);
    let mended = build.on_store(&["doctor", "--repair", "--json"]).done().stdout;
    assert_eq!(mended.matches("\"mended\":true").count(), 2, "{mended}");
    assert_eq!(build.on_store(&["doctor"]).done().stdout, "nothing differs\n");
    assert!(build.results().contains(&two) && !left.exists());
}
