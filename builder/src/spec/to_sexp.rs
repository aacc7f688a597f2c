//! A spec as the S-expression it is written as: defaults and empty fields left out, fields in order.
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::sexp::Sexp;
use super::{Copy, CopyFrom, Mount, Op, Run, Spec, User};

/// An atom of the bytes of `text`.
pub fn atom(text: &OsString) -> Sexp {
    Sexp::atom(text.as_bytes())
}

fn atoms(texts: &[OsString]) -> impl Iterator<Item = Sexp> {
    texts.iter().map(atom)
}

/// `((build NAME SPEC)… (from BASE) OP…)`.
pub fn spec(spec: &Spec) -> Sexp {
    let build = |(name, stage): &(OsString, Spec)| Sexp::tagged("build", [atom(name), self::spec(stage)]);
    let builds = spec.builds.iter().map(build);
    let from = Sexp::pair("from", atom(&spec.from));
    Sexp::list(builds.chain([from]).chain(spec.ops.iter().map(op)))
}

/// One operation.
pub fn op(op: &Op) -> Sexp {
    match op {
        Op::Comment(text) => Sexp::pair("comment", atom(text)),
        Op::Workdir(dir) => Sexp::pair("workdir", atom(dir)),
        Op::Shell(words) => Sexp::tagged("shell", atoms(words)),
        Op::Run(run) => Sexp::tagged("run", self::run(run)),
        Op::Copy(copy) => Sexp::tagged("copy", self::copy(copy)),
        Op::User(user) => Sexp::tagged("user", self::user(user)),
        Op::Env(name, value) => Sexp::tagged("env", [atom(name), atom(value)]),
    }
}

/// The fields of a `user`.
pub fn user(user: &User) -> Vec<Sexp> {
    match user {
        User::Unix { uid, gid } => {
            vec![
                Sexp::pair("uid", Sexp::atom(uid.to_string())),
                Sexp::pair("gid", Sexp::atom(gid.to_string())),
            ]
        }
        User::Windows(name) => vec![Sexp::pair("name", atom(name))],
    }
}

fn run(run: &Run) -> Vec<Sexp> {
    let mut fields = Vec::new();
    push_list(&mut fields, "cache", run.cache.iter().map(mount));
    push_list(&mut fields, "network", atoms(&run.network));
    push_list(&mut fields, "secrets", run.secrets.iter().map(mount));
    fields.push(Sexp::pair("shell", atom(&run.shell)));
    fields
}

fn mount(mount: &Mount) -> Sexp {
    let mut items = vec![atom(&mount.id), Sexp::pair("target", atom(&mount.target))];
    if !mount.buildkit_options.is_empty() {
        let option = |(name, value): &(OsString, OsString)| Sexp::list([atom(name), atom(value)]);
        items.push(Sexp::pair("buildkit_options", Sexp::list(mount.buildkit_options.iter().map(option))));
    }
    Sexp::list(items)
}

fn copy(copy: &Copy) -> Vec<Sexp> {
    let mut fields = Vec::new();
    if let CopyFrom::Build(name) = &copy.from {
        fields.push(Sexp::pair("from", Sexp::pair("build", atom(name))));
    }
    fields.push(Sexp::tagged("src", atoms(&copy.src)));
    fields.push(Sexp::pair("dst", atom(&copy.dst)));
    push_list(&mut fields, "exclude", atoms(&copy.exclude));
    fields
}

fn push_list(fields: &mut Vec<Sexp>, name: &str, items: impl Iterator<Item = Sexp>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        fields.push(Sexp::tagged(name, items));
    }
}
