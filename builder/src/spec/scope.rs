//! Which stages a `copy` may name.
use std::ffi::OsStr;

use super::error::SpecError;
use super::heading;
use super::nearest::nearest;
use super::printer::quoted_text;
use super::{Copy, CopyFrom, Op, Spec};
use std::os::unix::ffi::OsStrExt;

/// Checks that each `(copy (from (build NAME)) …)` names a stage in scope: an earlier one of the same spec
/// or of a spec around it.
pub(super) fn check<'s>(spec: &'s Spec, scope: &[&'s OsStr]) -> Result<(), SpecError> {
    let mut scope = scope.to_vec();
    for (name, stage) in &spec.builds {
        check(stage, &scope)?;
        scope.push(name);
    }
    spec.ops.iter().try_for_each(|op| match op {
        Op::Copy(Copy { from: CopyFrom::Build(name), .. }) if !scope.contains(&name.as_os_str()) => {
            Err(unknown_build(op, name, &scope))
        }
        _ => Ok(()),
    })
}

fn unknown_build(op: &Op, name: &OsStr, scope: &[&OsStr]) -> SpecError {
    let shown = String::from_utf8_lossy(&heading::op_alone(op)).replace('\n', " ");
    let error = SpecError::new(format!("Unknown build {} in {shown}", quoted_text(name.as_bytes())));
    let known: Vec<_> = scope.iter().map(|name| name.to_string_lossy()).collect();
    match nearest(&name.to_string_lossy(), known.iter().map(AsRef::as_ref)) {
        Some(meant) => error.hint(format!("did you mean \"{meant}\"?")),
        None if known.is_empty() => error.hint("there is no (build …) before it"),
        None => error.hint(format!("known are {}", known.join(", "))),
    }
}
