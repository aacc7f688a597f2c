//! Prints S-expressions on one line, byte for byte as sexplib's machine format does: ids depend on it.
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::sexp::{Form, Sexp};

/// The shortest text that reads back as `sexp`: a blank only between two neighbouring bare atoms.
pub fn to_machine(sexp: &Sexp) -> Vec<u8> {
    let mut out = Vec::new();
    write_machine(sexp, &mut out, false);
    out
}

/// Writes `sexp`; `after_bare` says that a bare atom stands right before it. Returns whether it was one.
fn write_machine(sexp: &Sexp, out: &mut Vec<u8>, after_bare: bool) -> bool {
    match &sexp.form {
        Form::Atom(bytes) if must_quote(bytes) => {
            write_quoted(bytes, out);
            false
        }
        Form::Atom(bytes) => {
            if after_bare {
                out.push(b' ');
            }
            out.extend_from_slice(bytes);
            true
        }
        Form::List(items) => {
            out.push(b'(');
            let mut bare = false;
            for item in items {
                bare = write_machine(item, out, bare);
            }
            out.push(b')');
            false
        }
    }
}

/// Whether an atom needs quotes to be read back as itself.
pub fn must_quote(bytes: &[u8]) -> bool {
    let special = |b: &u8| *b <= b' ' || *b >= 127 || b"\"();\\".contains(b);
    bytes.is_empty() || bytes.iter().any(special) || bytes.windows(2).any(|w| w == b"#|" || w == b"|#")
}

/// An atom as it is written on one line: bare where that is possible, else quoted.
pub fn atom_text(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    if must_quote(bytes) {
        write_quoted(bytes, &mut out);
    } else {
        out.extend_from_slice(bytes);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A string between double quotes, in ASCII: also how OCaml's `%S` shows one.
pub fn quoted_text(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    write_quoted(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Strings in quotes, one after the other: `"/bin/sh" "-c" "…"`.
pub fn quoted_words(words: &[OsString]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| quoted_text(word.as_bytes())).collect();
    quoted.join(" ")
}

fn write_quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_into(bytes, out);
    out.push(b'"');
}

/// The inside of a quoted string: anything but printable ASCII becomes an escape, byte by byte.
pub fn escape_into(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\t' => out.extend(b"\\t"),
            b'\r' => out.extend(b"\\r"),
            8 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend(format!("\\{byte:03}").bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_stands_only_between_two_bare_atoms() {
        let x = |s: &str| Sexp::atom(s);
        let sexp =
            Sexp::list([x("a"), x("b c"), x("d"), x("e"), Sexp::list([x("f")]), x("g"), Sexp::list([])]);
        assert_eq!(to_machine(&sexp), br#"(a"b c"d e(f)g())"#);
    }

    #[test]
    fn what_needs_quotes_gets_them() {
        for (bytes, text) in [
            (&b"plain-#;"[..5], "plain"),
            (b"", "\"\""),
            (b"a#|b", "\"a#|b\""),
            (b"a|#b", "\"a|#b\""),
            (b"#", "#"),
            (b"|a", "|a"),
            (b"a;b", "\"a;b\""),
            (b"\xc3\xa9", r#""\195\169""#),
            (b"\x00\x7f", r#""\000\127""#),
            (b"it's", "it's"),
        ] {
            assert_eq!(atom_text(bytes), text);
        }
    }
}
