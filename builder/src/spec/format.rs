//! A spec as text again: one operation after the other, each laid out as in a build's log.
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::printer::atom_text;
use super::{Spec, heading};

/// Columns that what is inside a stage stands further to the right.
const INDENT: usize = 1;

/// The text of `spec`, ended by a newline. Comments of the language (`;`) are no part of a spec, and gone.
pub fn format(spec: &Spec) -> Vec<u8> {
    let mut out = stage(spec);
    out.push(b'\n');
    out
}

fn stage(spec: &Spec) -> Vec<u8> {
    let builds = spec.builds.iter().map(|(name, inner)| build(name, inner));
    let ops = spec.ops.iter().map(heading::op_alone);
    let lines: Vec<_> = builds.chain([heading::from(&spec.from)]).chain(ops).collect();
    [b"(", &indented(&lines.join(&b'\n'), INDENT)[..], b")"].concat()
}

fn build(name: &OsStr, inner: &Spec) -> Vec<u8> {
    let first = [b"(build ", atom_text(name.as_bytes()).as_bytes()].concat();
    let below = indented(&[&b"\n"[..], &stage(inner)].concat(), INDENT);
    [first, below, b")".to_vec()].concat()
}

/// All lines but the first, further to the right. Strings are safe: a line of one begins where the blanks end.
fn indented(text: &[u8], columns: usize) -> Vec<u8> {
    let newline = [vec![b'\n'], vec![b' '; columns]].concat();
    text.split(|&b| b == b'\n').collect::<Vec<_>>().join(&newline[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        let spec = Spec::parse(text.as_bytes()).unwrap();
        let formatted = format(&spec);
        assert_eq!(Spec::parse(&formatted).unwrap(), spec, "{}", String::from_utf8_lossy(&formatted));
        String::from_utf8(formatted).unwrap()
    }

    #[test]
    fn each_operation_has_its_line_and_stages_are_indented() {
        let text =
            "((build a((build b((from x)))(from y)(run(network host)(shell \"a b\"))))(from z)(env A \"\"))";
        let lines = "((build a\n  ((build b\n    ((from x)))\n   (from y)\n   (run (network host)\n        (shell \"a b\"))))\n \
                     (from z)\n (env A \"\"))\n";
        assert_eq!(formatted(text), lines);
    }

    #[test]
    fn strings_of_several_lines_come_back_whole_however_deep() {
        let text =
            "((build a ((from x) (run (shell \"one\n  two\n\")))) (from \"q \\\"\") (comment \"a\nb\"))";
        let lines = "((build a\n  ((from x)\n   (run (shell  \"one\\\n               \\n  two\\\n               \\n\"))))\n \
                     (from \"q \\\"\")\n (comment  \"a\\\n          \\nb\"))\n";
        assert_eq!(formatted(text), lines);
    }

    #[test]
    fn what_was_formatted_stays_as_it_is() {
        let once = formatted("((from b) (copy (src a) (dst /b)) (shell) (workdir \"\"))");
        assert_eq!(formatted(&once), once);
    }
}
