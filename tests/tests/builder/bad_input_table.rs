//! The ways a spec, a source tree, an option or a store can be wrong, and what a user is told of each: all of it.
//!
//! `@` stands for the build's directory, `ID0` for an id that no result has.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use obuilder_tests::build::Ended;
use obuilder_tests::{Build, binary, process};

use crate::{can_build, refused};

const NO_ID: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Specs that `check` refuses: the text, the place, the message, and a hint if there is one.
const SPECS: [(&str, &str, &str, &str); 48] = [
    ("", "1:1", "the text is empty: it must hold one expression", ""),
    ("; c", "1:4", "the text is empty: it must hold one expression", ""),
    (
        "((from b)",
        "1:1",
        "this \"(\" is never closed",
        "add the missing \")\", or look for a string that was not closed",
    ),
    ("((from b)))", "1:11", "unexpected \")\"", "there is no open \"(\" that it could close"),
    ("((from \"b))", "1:8", "this string is never closed", "add the missing \""),
    (
        "((from b)) x",
        "1:12",
        "unexpected text after the end of the expression",
        "look for a \")\" too many before it: everything belongs in one pair of parentheses",
    ),
    (
        "((from \"a\\999\"))",
        "1:10",
        "a malformed escape in a string",
        "write \\ddd with three decimal digits up to 255, \\xhh with two hexadecimal ones, or \\\\",
    ),
    (
        "((from \"a\\xZZ\"))",
        "1:10",
        "a malformed escape in a string",
        "write \\ddd with three decimal digits up to 255, \\xhh with two hexadecimal ones, or \\\\",
    ),
    ("((from b) #| (run)", "1:11", "this comment is never closed", "add a \"|#\""),
    ("((from b) #;)", "1:11", "\"#;\" has no expression after it to drop", ""),
    (
        "((from b)(run (shell \"a\\000b\")))",
        "1:22",
        "shell: a string must not hold a NUL byte",
        "no path, variable or command can contain one",
    ),
    ("hello", "1:1", "a spec is a list: ((from BASE) OP…)", ""),
    ("()", "1:1", "this spec has no (from BASE)", "name a base image, as (from empty)"),
    (
        "((run (shell x)))",
        "1:2",
        "expected (from BASE) before this",
        "a spec begins with its (build NAME SPEC) stages, then (from BASE), then the operations",
    ),
    ("((from))", "1:2", "from: takes one value, not 0", "put a value with blanks in it in double quotes"),
    ("((from a b))", "1:2", "from: takes one value, not 2", "put a value with blanks in it in double quotes"),
    ("((from b)(from c))", "1:10", "a second (from …)", "a stage has one base image"),
    (
        "((from b)(build c ((from b))))",
        "1:10",
        "a (build …) after the (from …)",
        "the stages a spec copies from stand before its (from BASE)",
    ),
    ("((build dev)(from b))", "1:2", "build: expected (build NAME SPEC)", ""),
    ("((from b) run)", "1:11", "expected an operation, as (run (shell …))", ""),
    ("((from b) ())", "1:11", "expected an operation, as (run (shell …))", ""),
    ("((from b)(rnu (shell x)))", "1:11", "unknown operation \"rnu\"", "did you mean \"run\"?"),
    (
        "((from b)(RUN (shell x)))",
        "1:11",
        "unknown operation \"RUN\"",
        "operations are written in lower case: \"run\"",
    ),
    ("((from b)(run))", "1:10", "run: field \"shell\" is missing", "add (shell …) to it"),
    ("((from b)(run (shall x)))", "1:16", "run: unknown field \"shall\"", "did you mean \"shell\"?"),
    (
        "((from b)(run (shell x)(shell y)))",
        "1:24",
        "run: field \"shell\" is given twice",
        "merge the two into one",
    ),
    (
        "((from b)(run (shell a b)))",
        "1:15",
        "run: field \"shell\" takes one value, not 2",
        "put a value with blanks in it in double quotes",
    ),
    ("((from b)(run (cache x)(shell a)))", "1:22", "cache: expected (NAME (target PATH))", ""),
    (
        "((from b)(run (cache (c))(shell a)))",
        "1:22",
        "cache: field \"target\" is missing",
        "add (target …) to it",
    ),
    (
        "((from b)(run (cache (c (targt /c)))(shell a)))",
        "1:26",
        "cache: unknown field \"targt\"",
        "did you mean \"target\"?",
    ),
    (
        "((from b)(run (secrets (s (target)))(shell a)))",
        "1:27",
        "secrets: field \"target\" takes one value, not 0",
        "put a value with blanks in it in double quotes",
    ),
    ("((from b)(run (network (host))(shell a)))", "1:24", "network: expected a string here, not a list", ""),
    ("((from b)(copy (src a)))", "1:10", "copy: field \"dst\" is missing", "add (dst …) to it"),
    ("((from b)(copy (dst /x)))", "1:10", "copy: field \"src\" is missing", "add (src …) to it"),
    (
        "((from b)(copy (from foo)(src a)(dst /x)))",
        "1:22",
        "copy: expected (from context) or (from (build NAME))",
        "",
    ),
    ("((from b)(user (uid x)(gid 0)))", "1:21", "user: \"uid\" must be a number from 0 to 4294967295", ""),
    ("((from b)(user (uid 1)))", "1:10", "user: field \"gid\" is missing", "add (gid …) to it"),
    ("((from b)(user (nmae x)))", "1:17", "user: unknown field \"nmae\"", "did you mean \"name\"?"),
    (
        "((from b)(env A B C))",
        "1:10",
        "env: takes a name and a value, not 3 words",
        "put a value with blanks in it in double quotes",
    ),
    (
        "((from b)(env A=B C))",
        "1:15",
        "env: a variable's name must not be empty or hold a '='",
        "write (env NAME VALUE)",
    ),
    (
        "((from b)(env \"\" C))",
        "1:15",
        "env: a variable's name must not be empty or hold a '='",
        "write (env NAME VALUE)",
    ),
    ("((from b)(env (A) B))", "1:15", "env: expected a string here, not a list", ""),
    (
        "((from b)(workdir a b))",
        "1:10",
        "workdir: takes one value, not 2",
        "put a value with blanks in it in double quotes",
    ),
    (
        "((from b)(comment))",
        "1:10",
        "comment: takes one value, not 0",
        "put a value with blanks in it in double quotes",
    ),
    (
        "((build dev ((from b)))(from b)(copy (from (build dve))(src a)(dst /x)))",
        "1:51",
        "unknown build \"dve\"",
        "did you mean \"dev\"?",
    ),
    (
        "((build one ((from b)))(build two ((from b)))(from b)(copy (from (build x))(src a)(dst /x)))",
        "1:73",
        "unknown build \"x\"",
        "known are one, two",
    ),
    (
        "((build a ((build b ((from c)))(from c)))(from c)(copy (from (build b))(src x)(dst /x)))",
        "1:69",
        "unknown build \"b\"",
        "known are a",
    ),
    (
        "((from b)(copy (from (build x))(src a)(dst /x)))",
        "1:29",
        "unknown build \"x\"",
        "there is no (build …) before it",
    ),
];

/// Operations that fail when it is their turn, after `(from empty)`.
const OPERATIONS: [(&str, &str); 22] = [
    ("(copy (src nope)(dst /x))", "Source path \"nope\" not found"),
    ("(copy (src ../x)(dst /x))", "Can't use .. in source paths! (in \"../x\")"),
    ("(copy (src d/../../x)(dst /x))", "Can't use .. in source paths! (in \"d/../../x\")"),
    ("(copy (src /etc/passwd)(dst /x))", "Source path \"/etc/passwd\" not found"),
    ("(copy (src link/passwd)(dst /x))", "Not a directory: link (in \"link/passwd\")"),
    ("(copy (src loop/x)(dst /x))", "Not a directory: loop (in \"loop/x\")"),
    ("(copy (src a/b)(dst /x))", "Not a directory: a (in \"a/b\")"),
    (
        "(copy (src fifo)(dst /x))",
        "Unsupported file type for \"fifo\": only files, directories and links can be copied",
    ),
    (
        "(copy (src sock)(dst /x))",
        "Unsupported file type for \"sock\": only files, directories and links can be copied",
    ),
    (
        "(copy (src d)(dst /x))",
        "Unsupported file type for \"d/fifo\": only files, directories and links can be copied",
    ),
    ("(copy (src a b)(dst /x))", "When copying multiple items, the destination must end with '/'"),
    ("(copy (src)(dst /x))", "No source items for copy!"),
    ("(copy (src a)(dst /f))(copy (src b)(dst /f/g))", "cannot copy to f/g: /f is not a directory"),
    (
        "(run (shell \"ln -s l l\"))(copy (src a)(dst /home/obuilder/l/x))",
        "cannot copy to l/x: too many levels of symbolic links",
    ),
    ("(run (shell \"exit 3\"))", "\"/usr/bin/env\" \"bash\" \"-c\" \"exit 3\" failed with exit status 3"),
    (
        "(run (shell \"kill -9 $$\"))",
        "\"/usr/bin/env\" \"bash\" \"-c\" \"kill -9 $$\" failed with signal SIGKILL",
    ),
    ("(shell /no/such)(run (shell true))", "\"/no/such\" \"true\" failed with exit status 127"),
    ("(run (secrets (t (target /s)))(shell true))", "Couldn't find value for requested secret 't'"),
    ("(run (network foo)(shell true))", "Failure(\"Unsupported network configuration [\\\"foo\\\"]\")"),
    (
        "(run (network host foo)(shell true))",
        "Failure(\"Unsupported network configuration [\\\"host\\\" \\\"foo\\\"]\")",
    ),
    ("(workdir ..)(copy (src nope)(dst .))", "Source path \"nope\" not found"),
    ("(user (uid 1000)(gid 1000))(copy (src nope)(dst /))", "Source path \"nope\" not found"),
];

/// Base images that are none.
const IMAGES: [(&str, &str); 6] = [
    (
        "nope",
        "base image \"nope\" not found: there is no directory @/images/nope; make one with .obuilder_profile.sh in it, or name another place with --base-images=DIR, or begin with (from empty)",
    ),
    (
        "noprofile",
        "@/images/noprofile is not a base image: .obuilder_profile.sh is not a file there; make one, which may be empty",
    ),
    (
        "dirprofile",
        "@/images/dirprofile is not a base image: .obuilder_profile.sh is not a file there; make one, which may be empty",
    ),
    ("a/b", "base image \"a/b\": a name must not be empty, \".\" or \"..\", or hold a \"/\""),
    ("\"\"", "base image \"\": a name must not be empty, \".\" or \"..\", or hold a \"/\""),
    ("..", "base image \"..\": a name must not be empty, \".\" or \"..\", or hold a \"/\""),
];

/// Command lines: their words, the exit code, and all that is said.
const COMMANDS: [(&str, i32, &str); 17] = [
    ("nosuch", 2, "obuilder: unrecognized subcommand 'nosuch'\nhint: --help shows what it takes"),
    ("chekc", 2, "obuilder: unrecognized subcommand 'chekc'\nhint: did you mean check?"),
    (
        "ls",
        2,
        "obuilder: the following required arguments were not provided: --store <KIND:PLACE>\nhint: --help shows what it takes",
    ),
    (
        "ls --store=/x",
        2,
        "obuilder: bad store address \"/x\": it must be KIND:PLACE, for example rsync:/var/lib/obuilder",
    ),
    (
        "ls --store=rsync:x",
        2,
        "obuilder: bad store address \"rsync:x\": the path after rsync: must be absolute, that is, begin with '/'",
    ),
    (
        "ls --store=rsync:@/none",
        3,
        "obuilder: there is no store in @/none; give the one that builds use, with --store=rsync:DIR",
    ),
    (
        "clean --store=rsync:@/none",
        3,
        "obuilder: there is no store in @/none; give the one that builds use, with --store=rsync:DIR",
    ),
    (
        "doctor --store=rsync:@/none",
        3,
        "obuilder: there is no store in @/none; give the one that builds use, with --store=rsync:DIR",
    ),
    (
        "log --store=rsync:@/store xyz",
        2,
        "obuilder: invalid value 'xyz' for '<ID>': a result is called by 64 hexadecimal digits, as a build prints them after \"Got:\"\nhint: --help shows what it takes",
    ),
    (
        "log --store=rsync:@/store ID0",
        2,
        "obuilder: the store @/store has no result ID0\nhint: obuilder ls shows those it has",
    ),
    (
        "delete --store=rsync:@/store",
        2,
        "obuilder: the following required arguments were not provided: <ID>\nhint: --help shows what it takes",
    ),
    ("delete --store=rsync:@/store ID0", 0, " WARN nothing to delete: the store @/store has no result ID0"),
    (
        "prune --store=rsync:@/store",
        2,
        "obuilder: prune needs to be told what to keep\nhint: give --keep=N, --older-than=DURATION or --free=PERCENT; clean deletes everything",
    ),
    (
        "prune --store=rsync:@/store --older-than=7",
        2,
        "obuilder: invalid value '7' for '--older-than <DURATION>': it must be a number and one of s, m, h, d and w, as 12h, 7d or 2w\nhint: --help shows what it takes",
    ),
    (
        "prune --store=rsync:@/store --free=101",
        2,
        "obuilder: invalid value '101' for '--free <PERCENT>': it must be a percentage, 0 to 100\nhint: --help shows what it takes",
    ),
    (
        "prune --store=rsync:@/store --keep=x",
        2,
        "obuilder: invalid value 'x' for '--keep <N>': it must be a number of results, 0 or more\nhint: --help shows what it takes",
    ),
    ("check -f @/none", 2, "obuilder: cannot read the spec: @/none: No such file or directory"),
];

fn run(build: &Build, words: &str) -> Ended {
    let dir = build.scratch.path().display().to_string();
    let words = words.replace('@', &dir).replace("ID0", NO_ID);
    process::output(Command::new(binary::obuilder()).args(words.split(' '))).into()
}

#[track_caller]
fn told(build: &Build, ended: &Ended, code: i32, said: &str) {
    let dir = build.scratch.path().display().to_string();
    let said = said.replace('@', &dir).replace("ID0", NO_ID);
    refused(ended, code, &said);
}

#[test]
fn specs_that_are_none_are_told_with_the_place_the_line_and_what_to_do() {
    let build = Build::new();
    for (text, place, message, hint) in SPECS {
        build.spec(text);
        let (line, column) = place.split_once(':').unwrap();
        let caret = " ".repeat(column.parse::<usize>().unwrap() + 3);
        let hint = if hint.is_empty() { String::new() } else { format!("\nhint: {hint}") };
        let said = format!("obuilder: @/spec:{place}: {message}\n{line} | {text}\n{caret}^{hint}");
        told(&build, &run(&build, "check -f @/spec"), 2, &said);
    }
}

#[test]
fn of_a_spec_that_is_one_long_line_only_a_part_is_shown() {
    let build = Build::new();
    build.spec(&"(".repeat(100_000));
    let ended = run(&build, "check -f @/spec");
    let message = "lists are nested more than 500 deep";
    let line = format!("1 | …{}…", "(".repeat(120));
    told(&build, &ended, 2, &format!("obuilder: @/spec:1:501: {message}\n{line}\n{}^", " ".repeat(65)));
}

/// Everything in a source tree that is not to be copied, and things that are.
fn fill(source: &Path) {
    for name in ["a", "b"] {
        fs::write(source.join(name), name).unwrap();
    }
    fs::create_dir(source.join("d")).unwrap();
    for name in ["fifo", "d/fifo"] {
        mkfifo(&source.join(name), Mode::S_IRUSR).unwrap();
    }
    symlink("/etc", source.join("link")).unwrap();
    symlink("loop", source.join("loop")).unwrap();
    drop(UnixListener::bind(source.join("sock")).unwrap());
}

#[test]
fn steps_that_cannot_be_done_are_told_as_the_original_does_and_leave_nothing() {
    if !can_build() {
        return;
    }
    let build = Build::new().with("--no-fuse");
    fill(&build.source);
    for (operations, said) in OPERATIONS {
        let ended = build.run(&format!("((from empty){operations})"));
        told(&build, &ended, 1, &format!("Build step failed: {said}"));
        assert_eq!(build.left_behind(), Vec::<String>::new(), "{operations}");
    }
}

#[test]
fn base_images_that_are_none_are_named() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let images = build.scratch.dir("images");
    fs::create_dir(images.join("noprofile")).unwrap();
    fs::create_dir_all(images.join("dirprofile/.obuilder_profile.sh")).unwrap();
    let build = build.with(format!("--base-images={}", images.display()));
    for (name, said) in IMAGES {
        told(&build, &build.run(&format!("((from {name}))")), 1, &format!("Build step failed: {said}"));
    }
}

#[test]
fn command_lines_that_make_no_sense_are_told_what_is_wrong_with_them() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    build.run("((from empty))").done();
    for (words, code, said) in COMMANDS {
        told(&build, &run(&build, words), code, said);
    }
    assert!(!build.scratch.path().join("none").exists());
    assert_eq!(build.results().len(), 1);
}

#[test]
fn stores_that_are_damaged_are_told_by_the_file_and_what_mends_them() {
    if !can_build() {
        return;
    }
    let build = Build::new();
    let id = build.run("((from empty))").done().id().to_owned();
    let database = build.store.join("state/db/db.sqlite");
    for name in ["-wal", "-shm"] {
        let _ = fs::remove_file(database.with_file_name(format!("db.sqlite{name}")));
    }
    fs::write(&database, [b'x'; 5000]).unwrap();
    let damaged = "obuilder: cannot use the database @/store/state/db/db.sqlite: it is damaged; obuilder doctor --repair makes it anew from the results";
    told(&build, &build.run("((from empty))"), 3, damaged);
    told(&build, &build.on_store(&["ls"]), 3, damaged);
    build.on_store(&["doctor", "--repair"]).done();
    assert!(build.run("((from empty))").done().stdout.contains("from cache"));

    let env = build.result(&id).join("env");
    fs::write(&env, "garbage").unwrap();
    let said = format!(
        "obuilder: {}: not a saved environment: line 1, column 1: expected ((env ((NAME VALUE)…))); delete the result it belongs to",
        env.display()
    );
    told(&build, &build.run("((from empty))"), 3, &said);

    let results = build.store.join("result");
    fs::remove_dir_all(&results).unwrap();
    fs::write(&results, "").unwrap();
    let said = "obuilder: cannot use as a directory @/store/result: not a directory";
    told(&build, &build.run("((from empty))"), 3, said);
    fs::remove_file(&results).unwrap();

    fs::set_permissions(&build.store, fs::Permissions::from_mode(0o777)).unwrap();
    let said = "obuilder: the store @/store can be written by others (mode 0777); run: chmod go-w @/store";
    told(&build, &build.run("((from empty))"), 3, said);
}
