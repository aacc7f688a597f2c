//! Ids and headings against logs of OBuilder itself, with the output of the steps left out.
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Context, Manifest, StepId, from_id};
use crate::spec::{Op, Spec, heading};

/// The base image's environment in those logs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Walks a spec as a build would, without running anything.
struct Plan<'p> {
    context_dir: &'p Path,
    secrets: Vec<(OsString, Vec<u8>)>,
    saved: HashSet<StepId>,
    log: Vec<u8>,
}

impl Plan<'_> {
    fn stage(&mut self, spec: &Spec, mut context: Context) -> StepId {
        for (name, stage) in &spec.builds {
            self.say(heading::build(name));
            let id = self.stage(stage, context.clone());
            self.say(heading::finished(name));
            context.scope.insert(name.clone(), id);
        }
        self.say(heading::from(&spec.from));
        let mut base = from_id(&spec.from);
        self.result(&base);
        context.env.push(("PATH".into(), PATH.into()));
        for op in &spec.ops {
            self.say(heading::op(&context.workdir, op));
            match op {
                Op::Comment(_) => {}
                Op::Workdir(dir) => context.set_workdir(dir),
                Op::Shell(words) => context.shell.clone_from(words),
                Op::User(user) => context.user = user.clone(),
                Op::Env(name, value) => context.set_env(name, value),
                Op::Run(run) => base = context.run(base, run, &self.secrets).unwrap().id(),
                Op::Copy(copy) => {
                    let item = |src| Manifest::generate(self.context_dir, src, &copy.exclude).unwrap();
                    let items = copy.src.iter().map(|src| item(src)).collect();
                    base = context.copy(base, items, &copy.dst).id().unwrap();
                }
            }
            if matches!(op, Op::Run(_) | Op::Copy(_)) {
                self.result(&base);
            }
        }
        base
    }

    fn result(&mut self, id: &StepId) {
        let new = self.saved.insert(id.clone());
        let line =
            if new { format!("---> saved as \"{id}\"") } else { format!("---> using \"{id}\" from cache") };
        self.say(line.into_bytes());
    }

    fn say(&mut self, line: Vec<u8>) {
        self.log.extend(line);
        self.log.push(b'\n');
    }
}

/// Compares the plan of a spec with a log, in a source tree of `files`.
#[track_caller]
fn check(spec: &str, log: &str, files: &[(&str, &str)], secrets: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    check_in(dir.path(), spec, log, secrets);
}

#[track_caller]
fn check_in(dir: &Path, spec: &str, log: &str, secrets: &[(&str, &str)]) {
    let secrets = secrets.iter().map(|(id, value)| (id.into(), value.as_bytes().to_vec())).collect();
    let mut plan = Plan { context_dir: dir, secrets, saved: HashSet::new(), log: Vec::new() };
    let spec = Spec::parse(spec.as_bytes()).unwrap();
    let id = plan.stage(&spec, Context::default());
    plan.say(format!("Got: \"{id}\"").into_bytes());
    assert_eq!(String::from_utf8(plan.log).unwrap(), log);
}

macro_rules! golden {
    ($($name:ident: $file:literal, $files:expr, $secrets:expr;)*) => {
        $(#[test]
        fn $name() {
            let spec = include_str!(concat!("golden/", $file, ".spec"));
            let log = include_str!(concat!("golden/", $file, ".log"));
            check(spec, log, &$files, &$secrets);
        })*
    };
}

golden! {
    plain_runs_have_the_originals_ids: "run-basic", [], [];
    context_operations_enter_the_ids: "context", [("a.txt", "A\n"), ("d/e", "E\n")], [];
    caches_are_shown_but_enter_no_id: "cache-simplename", [], [];
    build_kit_options_enter_no_id: "buildkit", [], [("s", "SEC\n")];
    secrets_enter_the_ids: "secrets", [], [("s1", "hunter2\n"), ("s2", "two (quoted) \"v\"")];
    every_spelling_has_the_originals_ids: "syntax-ok", [
        ("a.txt", "A\n"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1"),
        ("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "2"),
    ], [];
    the_network_enters_the_ids: "network", [], [];
    exclusions_spare_the_sources_named: "copy-exclude-named", [("a", "a"), ("d/a", "b"), ("d/c", "c")], [];
    the_same_step_twice_has_two_ids: "samestep-twice", [], [];
    stages_share_what_they_have_in_common: "shared-prefix", [], [];
    working_directories_are_joined_as_written: "workdir-edge", [], [];
    what_a_step_reads_makes_no_difference: "stdin", [], [];
}

#[test]
fn copies_have_the_originals_ids() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for sub in ["dir/skip", "dir/sub", "dir/.git", ".git", "emptydir"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    for (path, bytes) in [
        ("a.txt", "A\n"),
        ("b.sh", "#!/bin/sh\necho b\n"),
        ("back\\slash", "5"),
        ("dir/f1", "f1\n"),
        ("dir/skip/no", "no\n"),
        ("dir/sub/x", "x\n"),
        ("dir/.git/c", "c\n"),
        (".git/HEAD", "ref\n"),
        ("empty", ""),
        ("hash#|x", "4"),
        ("q\"uote", "2"),
        ("ro", "r"),
        ("skip", "skipme\n"),
        ("sp ace", "1"),
        ("suid", "s"),
        ("uni-é", "3"),
    ] {
        fs::write(root.join(path), bytes).unwrap();
    }
    for (target, link) in [("/no/where", "dangling"), ("dir", "dirlink"), ("a.txt", "link")] {
        symlink(target, root.join(link)).unwrap();
    }
    check_in(root, include_str!("golden/copy.spec"), include_str!("golden/copy.log"), &[]);
}
