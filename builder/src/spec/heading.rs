//! The headings of a build's log, byte for byte as OBuilder prints them.
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Op;
use super::layout::{Doc, Kind, lay_out};
use super::printer::{atom_text, escape_into, must_quote, quoted_text};
use super::sexp::{Form, Sexp};
use super::to_sexp;

/// `(from BASE)`.
pub fn from(base: &OsStr) -> Vec<u8> {
    let text = |text: &str| Doc::Text(text.into());
    lay_out(&Doc::Boxed(Kind::Horizontal, vec![text("(from "), atom(base.as_bytes()), text(")")]))
}

/// `(build "NAME" …)`.
pub fn build(name: &OsStr) -> Vec<u8> {
    format!("(build {} …)", quoted_text(name.as_bytes())).into_bytes()
}

/// `--> finished "NAME"`.
pub fn finished(name: &OsStr) -> Vec<u8> {
    format!("--> finished {}", quoted_text(name.as_bytes())).into_bytes()
}

/// `WORKDIR: (OP …)`.
pub fn op(workdir: &OsStr, op: &Op) -> Vec<u8> {
    let mut line = vec![Doc::Text(workdir.as_bytes().to_vec()), Doc::Text(b": ".to_vec())];
    line.extend(op_doc(op));
    lay_out(&Doc::Boxed(Kind::Vertical(2), line))
}

/// An operation without the working directory before it.
pub fn op_alone(op: &Op) -> Vec<u8> {
    lay_out(&Doc::Boxed(Kind::Vertical(0), op_doc(op)))
}

fn op_doc(op: &Op) -> Vec<Doc> {
    let sexp = to_sexp::op(op);
    match (op, sexp.as_list()) {
        (Op::Run(_), Some([_, fields @ ..])) => fields_doc(b"(run ", Kind::Vertical(0), fields),
        (Op::Copy(_), Some([_, fields @ ..])) => fields_doc(b"(copy ", Kind::HorizontalOrVertical, fields),
        _ => vec![line(&sexp)],
    }
}

/// `(NAME FIELD…)`, the fields in a box of their own.
fn fields_doc(opening: &[u8], kind: Kind, fields: &[Sexp]) -> Vec<Doc> {
    let mut inner = Vec::new();
    for field in fields {
        if !inner.is_empty() {
            inner.push(Doc::Break(1));
        }
        inner.push(line(field));
    }
    vec![Doc::Text(opening.to_vec()), Doc::Boxed(kind, inner), Doc::Text(b")".to_vec())]
}

/// An expression on one line, but for the newlines in its strings.
fn line(sexp: &Sexp) -> Doc {
    let mut docs = Vec::new();
    push(sexp, &mut docs);
    Doc::Boxed(Kind::Horizontal, docs)
}

fn push(sexp: &Sexp, docs: &mut Vec<Doc>) {
    match &sexp.form {
        Form::Atom(bytes) => docs.push(atom(bytes)),
        Form::List(items) => {
            docs.push(Doc::Text(b"(".to_vec()));
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    docs.push(Doc::Break(1));
                }
                push(item, docs);
            }
            docs.push(Doc::Text(b")".to_vec()));
        }
    }
}

/// A string with a newline before its last byte is shown line by line; the blank before its first quote
/// aligns the lines.
fn atom(bytes: &[u8]) -> Doc {
    let newline = bytes.iter().position(|&b| b == b'\n');
    if !must_quote(bytes) || newline.is_none_or(|at| at + 1 == bytes.len()) {
        return Doc::Text(atom_text(bytes).into_bytes());
    }
    let mut docs = vec![Doc::Text(b" \"".to_vec())];
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if i > 0 {
            docs.extend([Doc::Text(b"\\".to_vec()), Doc::Newline, Doc::Text(b"\\n".to_vec())]);
        }
        let mut escaped = Vec::new();
        escape_into(line, &mut escaped);
        docs.push(Doc::Text(escaped));
    }
    docs.push(Doc::Text(b"\"".to_vec()));
    Doc::Boxed(Kind::Horizontal, docs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    /// The heading of the one operation in `text`, as a string.
    fn shown(workdir: &str, text: &str) -> String {
        let spec = Spec::parse(format!("((from b) {text})").as_bytes()).unwrap();
        String::from_utf8(op(OsStr::new(workdir), &spec.ops[0])).unwrap()
    }

    #[test]
    fn headings_are_laid_out_as_the_original_does() {
        for (text, shows) in [
            (r#"(env EMPTY "")"#, r#"/: (env EMPTY "")"#),
            (r#"(env Q "a \"b\" $H \\ é")"#, r#"/: (env Q "a \"b\" $H \\ \195\169")"#),
            ("(shell)", "/: (shell)"),
            ("(user (uid 5) (gid 6))", "/: (user (uid 5) (gid 6))"),
            ("(run (network) (cache) (secrets) (shell \"echo e\"))", "/: (run (shell \"echo e\"))"),
            ("(run (shell env) (network host))", "/: (run (network host)\n        (shell env))"),
            ("(comment \"multi\nline\")", "/: (comment  \"multi\\\n            \\nline\")"),
            ("(comment \"one\n\")", "/: (comment \"one\\n\")"),
            (
                "(run (shell \"a\nb\tc\n\"))",
                "/: (run (shell  \"a\\\n               \\nb\\tc\\\n               \\n\"))",
            ),
            ("(copy (exclude) (dst /y/) (src a.txt))", "/: (copy (src a.txt) (dst /y/))"),
            ("(copy (from context) (src a) (dst b))", "/: (copy (src a) (dst b))"),
        ] {
            assert_eq!(shown("/", text), shows);
        }
    }

    #[test]
    fn caches_and_secrets_show_their_options() {
        let text = "(run (cache (c (target /c) (buildkit_options ((sharing locked) (mode 0755))))) \
                    (secrets (s (target /s) (buildkit_options ((required true))))) (shell \"cat /s\"))";
        let shows = "/: (run (cache (c (target /c) (buildkit_options ((sharing locked) (mode 0755)))))\n        \
                     (secrets (s (target /s) (buildkit_options ((required true)))))\n        \
                     (shell \"cat /s\"))";
        assert_eq!(shown("/", text), shows);
    }

    #[test]
    fn a_copy_is_broken_when_its_line_would_reach_column_79() {
        let copy = |len: usize| shown("/", &format!("(copy (src {}) (dst /d))", "a".repeat(len)));
        assert_eq!(copy(53).len(), 78);
        assert!(!copy(53).contains('\n'));
        assert!(copy(54).contains(")\n         (dst /d))"));
    }

    #[test]
    fn a_box_past_column_68_begins_a_new_line() {
        let (near, far) = (format!("/{}", "w".repeat(60)), format!("/{}", "w".repeat(61)));
        assert_eq!(shown(&near, "(run (shell x))"), format!("{near}: (run (shell x))"));
        assert_eq!(shown(&far, "(run (shell x))"), format!("{far}: (run \n  (shell x))"));
        assert_eq!(shown(&far, "(copy (src a) (dst b))"), format!("{far}: (copy \n  (src a)\n  (dst b))"));
        let further = "w".repeat(67);
        assert_eq!(shown(&further, "(env A B)"), format!("{further}: \n  (env A B)"));
    }

    #[test]
    fn stages_are_named_in_quotes_and_bases_only_where_needed() {
        assert_eq!(build(OsStr::new("two words")), "(build \"two words\" …)".as_bytes());
        assert_eq!(finished(OsStr::new("dev")), b"--> finished \"dev\"");
        assert_eq!(from(OsStr::new("busybox-local")), b"(from busybox-local)");
        assert_eq!(from(OsStr::new("a b")), b"(from \"a b\")");
    }
}
