//! From S-expressions to specs.
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::error::SpecError;
use super::fields::{Fields, string, strings, tagged, unknown, word_at};
use super::printer::atom_text;
use super::scope::Scope;
use super::sexp::Sexp;
use super::{Copy, CopyFrom, Mount, Op, Run, Spec, User};

const OPS: [&str; 7] = ["comment", "workdir", "shell", "run", "copy", "user", "env"];

/// `((build NAME SPEC)… (from BASE) OP…)`; `scope` holds the stages before it.
pub(super) fn spec(sexp: &Sexp, scope: &Scope) -> Result<Spec, SpecError> {
    let Some(items) = sexp.as_list() else {
        return Err(SpecError::at(sexp.at, "a spec is a list: ((from BASE) OP…)"));
    };
    let (mut builds, mut scope) = (Vec::new(), scope.clone());
    for (i, item) in items.iter().enumerate() {
        match tagged(item) {
            Some((b"build", values)) => {
                let (name, stage) = build(item, values, &scope)?;
                scope.add(&name);
                builds.push((name, stage));
            }
            Some((b"from", values)) => {
                let from = single("from", item, values)?;
                let ops = items[i + 1..].iter().map(|item| op(item, &scope)).collect::<Result<_, _>>()?;
                return Ok(Spec { builds, from, ops });
            }
            _ => {
                return Err(SpecError::at(item.at, "expected (from BASE) before this").hint(
                    "a spec begins with its (build NAME SPEC) stages, then (from BASE), then the operations",
                ));
            }
        }
    }
    Err(SpecError::at(sexp.at, "this spec has no (from BASE)").hint("name a base image, as (from empty)"))
}

fn build(item: &Sexp, values: &[Sexp], scope: &Scope) -> Result<(OsString, Spec), SpecError> {
    match values {
        [name, stage] => Ok((string("build", name)?, spec(stage, scope)?)),
        _ => Err(SpecError::at(item.at, "build: expected (build NAME SPEC)")),
    }
}

/// The only value of `(NAME VALUE)`.
fn single(owner: &str, item: &Sexp, values: &[Sexp]) -> Result<OsString, SpecError> {
    match values {
        [value] => string(owner, value),
        _ => Err(SpecError::at(item.at, format!("{owner}: takes one value, not {}", values.len()))
            .hint("put a value with blanks in it in double quotes")),
    }
}

/// One operation.
///
/// An operation may begin with a capital letter. Its fields then stand in a list of their own, as in
/// `(Run ((shell true)))`.
fn op(sexp: &Sexp, scope: &Scope) -> Result<Op, SpecError> {
    let Some((name, values)) = tagged(sexp) else {
        return Err(SpecError::at(sexp.at, "expected an operation, as (run (shell …))"));
    };
    let capital = name.first().is_some_and(u8::is_ascii_uppercase);
    let mut lower = name.to_vec();
    if let Some(first) = lower.first_mut() {
        first.make_ascii_lowercase();
    }
    let values = match lower.as_slice() {
        b"run" | b"copy" | b"user" | b"env" if capital => record(sexp, name, values)?,
        _ => values,
    };
    match lower.as_slice() {
        b"comment" => single("comment", sexp, values).map(Op::Comment),
        b"workdir" => single("workdir", sexp, values).map(Op::Workdir),
        b"shell" => strings("shell", values).map(Op::Shell),
        b"run" => run(sexp.at, values).map(Op::Run),
        b"copy" => copy(sexp.at, values, scope).map(Op::Copy),
        b"user" => user(sexp.at, values).map(Op::User),
        b"env" => env(sexp.at, values),
        b"from" => Err(SpecError::at(sexp.at, "a second (from …)").hint("a stage has one base image")),
        b"build" => Err(SpecError::at(sexp.at, "a (build …) after the (from …)")
            .hint("the stages a spec copies from stand before its (from BASE)")),
        _ => Err(unknown_op(sexp, name)),
    }
}

fn unknown_op(sexp: &Sexp, name: &[u8]) -> SpecError {
    let word = atom_text(name);
    let lower = word.to_ascii_lowercase();
    if OPS.contains(&lower.as_str()) {
        return SpecError::at(word_at(sexp), format!("unknown operation \"{word}\""))
            .hint(format!("operations are written in lower case: \"{lower}\""));
    }
    unknown(word_at(sexp), "unknown operation", &word, &OPS)
}

/// The list that holds the fields of an operation written with a capital.
fn record<'s>(sexp: &Sexp, name: &[u8], values: &'s [Sexp]) -> Result<&'s [Sexp], SpecError> {
    match values {
        [value] if value.as_list().is_some_and(|_| tagged(value).is_none() || name == b"Env") => {
            Ok(value.as_list().unwrap_or_default())
        }
        _ => {
            let name = atom_text(name);
            Err(SpecError::at(sexp.at, format!("{name}: its fields must stand in a list of their own")).hint(
                format!("write ({} …) with a small letter, or ({name} (…))", name.to_ascii_lowercase()),
            ))
        }
    }
}

fn run(at: usize, record: &[Sexp]) -> Result<Run, SpecError> {
    let fields = Fields::of("run", at, record, &["cache", "network", "secrets", "shell"])?;
    Ok(Run {
        cache: fields.list("cache").iter().map(|m| mount("cache", m)).collect::<Result<_, _>>()?,
        network: strings("network", fields.list("network"))?,
        secrets: fields.list("secrets").iter().map(|m| mount("secrets", m)).collect::<Result<_, _>>()?,
        shell: string("shell", fields.required("shell")?)?,
    })
}

/// `(NAME (target PATH) (buildkit_options ((K V)…))?)`.
fn mount(owner: &str, sexp: &Sexp) -> Result<Mount, SpecError> {
    let Some((_, record)) = tagged(sexp) else {
        return Err(SpecError::at(sexp.at, format!("{owner}: expected (NAME (target PATH))")));
    };
    let id = string(owner, &sexp.as_list().unwrap_or_default()[0])?;
    let fields = Fields::of(owner, sexp.at, record, &["target", "buildkit_options"])?;
    let options = match fields.optional("buildkit_options")? {
        Some(options) => options.as_list().ok_or_else(|| bad_options(options))?,
        None => &[],
    };
    let option = |pair: &Sexp| match pair.as_list() {
        Some([name, value]) => Ok((string(owner, name)?, string(owner, value)?)),
        _ => Err(bad_options(pair)),
    };
    Ok(Mount {
        id,
        target: string("target", fields.required("target")?)?,
        buildkit_options: options.iter().map(option).collect::<Result<_, _>>()?,
    })
}

fn bad_options(sexp: &Sexp) -> SpecError {
    SpecError::at(sexp.at, "buildkit_options: expected pairs")
        .hint("write (buildkit_options ((sharing locked) (mode 0755)))")
}

fn copy(at: usize, record: &[Sexp], scope: &Scope) -> Result<Copy, SpecError> {
    let fields = Fields::of("copy", at, record, &["from", "src", "dst", "exclude"])?;
    let from = match fields.optional("from")? {
        Some(from) => copy_from(from, scope)?,
        None => CopyFrom::Context,
    };
    Ok(Copy {
        from,
        src: strings("src", fields.required_list("src")?)?,
        dst: string("dst", fields.required("dst")?)?,
        exclude: strings("exclude", fields.list("exclude"))?,
    })
}

fn copy_from(sexp: &Sexp, scope: &Scope) -> Result<CopyFrom, SpecError> {
    match tagged(sexp) {
        None if sexp.as_atom() == Some(b"context") => Ok(CopyFrom::Context),
        Some((b"build", [sexp])) => {
            let name = string("build", sexp)?;
            scope.find(sexp.at, &name)?;
            Ok(CopyFrom::Build(name))
        }
        _ => Err(SpecError::at(sexp.at, "copy: expected (from context) or (from (build NAME))")),
    }
}

fn user(at: usize, record: &[Sexp]) -> Result<User, SpecError> {
    let fields = Fields::of("user", at, record, &["uid", "gid", "name"])?;
    match fields.optional("name")? {
        Some(name) if record.len() == 1 => string("name", name).map(User::Windows),
        Some(_) => Err(SpecError::at(at, "user: \"name\" stands alone, without \"uid\" and \"gid\"")),
        None => Ok(User::Unix { uid: number("uid", &fields)?, gid: number("gid", &fields)? }),
    }
}

fn number(name: &str, fields: &Fields<'_>) -> Result<u32, SpecError> {
    let sexp = fields.required(name)?;
    let text = sexp.as_atom().and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        SpecError::at(sexp.at, format!("user: \"{name}\" must be a number from 0 to {}", u32::MAX))
    })
}

fn env(at: usize, values: &[Sexp]) -> Result<Op, SpecError> {
    let [name, value] = values else {
        return Err(SpecError::at(at, format!("env: takes a name and a value, not {} words", values.len()))
            .hint("put a value with blanks in it in double quotes"));
    };
    let (at, name) = (name.at, string("env", name)?);
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        return Err(SpecError::at(at, "env: a variable's name must not be empty or hold a '='")
            .hint("write (env NAME VALUE)"));
    }
    Ok(Op::Env(name, string("env", value)?))
}
