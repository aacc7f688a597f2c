//! Reads S-expressions as sexplib writes them.
//!
//! Comments: `;` to the end of the line, `#| … |#` nested, `#;` drops the next expression. Strings know
//! `\n \t \r \b \\ \" \' \ddd \xhh`; a backslash at the end of a line joins it to the next one, without
//! that one's leading blanks; any other backslash stands for itself.
use super::error::SpecError;
use super::sexp::{Form, Sexp};

/// How deep lists may be nested; a spec needs a handful, a hostile text must not exhaust the stack.
const MAX_DEPTH: usize = 500;

/// Reads a text that holds exactly one expression.
///
/// # Errors
/// The text is empty, unbalanced, or has something after the expression; the error names the place.
pub fn read_one(text: &[u8]) -> Result<Sexp, SpecError> {
    let mut reader = Reader { text, pos: 0, depth: 0 };
    let read = |reader: &mut Reader<'_>| {
        let Some(sexp) = reader.next()? else {
            return Err(SpecError::at(text.len(), "the text is empty: it must hold one expression"));
        };
        match reader.next()? {
            None => Ok(sexp),
            Some(extra) => Err(SpecError::at(extra.at, "unexpected text after the end of the expression")
                .hint("look for a \")\" too many before it: everything belongs in one pair of parentheses")),
        }
    };
    read(&mut reader).map_err(|error| error.located_in(text))
}

struct Reader<'t> {
    text: &'t [u8],
    pos: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn starts_with(&self, prefix: &[u8]) -> bool {
        self.text[self.pos..].starts_with(prefix)
    }

    /// The next expression, or `None` at the end of the text.
    fn next(&mut self) -> Result<Option<Sexp>, SpecError> {
        self.skip_blanks_and_comments()?;
        let at = self.pos;
        match self.peek() {
            None => Ok(None),
            Some(b'(') => self.list(at).map(Some),
            Some(b')') => {
                Err(SpecError::at(at, "unexpected \")\"").hint("there is no open \"(\" that it could close"))
            }
            Some(b'"') => self.string(at).map(Some),
            Some(_) => self.bare(at).map(Some),
        }
    }

    fn list(&mut self, at: usize) -> Result<Sexp, SpecError> {
        if self.depth == MAX_DEPTH {
            return Err(SpecError::at(at, format!("lists are nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        self.pos += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blanks_and_comments()?;
            if self.peek() == Some(b')') {
                self.pos += 1;
                self.depth -= 1;
                return Ok(Sexp { at, form: Form::List(items) });
            }
            match self.next()? {
                Some(item) => items.push(item),
                None => {
                    return Err(SpecError::at(at, "this \"(\" is never closed")
                        .hint("add the missing \")\", or look for a string that was not closed"));
                }
            }
        }
    }

    fn bare(&mut self, at: usize) -> Result<Sexp, SpecError> {
        while let Some(byte) = self.peek() {
            if is_blank(byte) || matches!(byte, b'(' | b')' | b'"' | b';') {
                break;
            }
            if self.starts_with(b"#|") || self.starts_with(b"|#") {
                return Err(SpecError::at(self.pos, "a comment mark inside a bare word")
                    .hint("put the word in double quotes, or blanks around the comment"));
            }
            self.pos += 1;
        }
        Ok(Sexp { at, form: Form::Atom(self.text[at..self.pos].to_vec()) })
    }

    fn string(&mut self, at: usize) -> Result<Sexp, SpecError> {
        self.pos += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                None => {
                    return Err(SpecError::at(at, "this string is never closed").hint("add the missing \""));
                }
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(Sexp { at, form: Form::Atom(bytes) });
                }
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(byte) => {
                    bytes.push(byte);
                    self.pos += 1;
                }
            }
        }
    }

    /// One escape, from its backslash on.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), SpecError> {
        let at = self.pos;
        self.pos += 1;
        let Some(byte) = self.peek() else { return Ok(()) };
        self.pos += 1;
        match byte {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'b' => bytes.push(8),
            b'\\' | b'"' | b'\'' => bytes.push(byte),
            b'\n' => self.skip_indentation(),
            b'\r' if self.peek() == Some(b'\n') => {
                self.pos += 1;
                self.skip_indentation();
            }
            b'0'..=b'9' => bytes.push(self.number(at, at + 1, 3, 10)?),
            b'x' => bytes.push(self.number(at, at + 2, 2, 16)?),
            _ => bytes.extend([b'\\', byte]),
        }
        Ok(())
    }

    /// A byte written as `len` digits from offset `start` on.
    fn number(&mut self, at: usize, start: usize, len: usize, radix: u32) -> Result<u8, SpecError> {
        let digits = self.text.get(start..start + len).and_then(|d| std::str::from_utf8(d).ok());
        let value = digits
            .filter(|d| d.chars().all(|c| c.is_digit(radix)))
            .and_then(|d| u8::from_str_radix(d, radix).ok());
        self.pos = start + len;
        value.ok_or_else(|| {
            SpecError::at(at, "a malformed escape in a string").hint(
                r"write \ddd with three decimal digits up to 255, \xhh with two hexadecimal ones, or \\",
            )
        })
    }

    fn skip_indentation(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), SpecError> {
        while let Some(byte) = self.peek() {
            if is_blank(byte) {
                self.pos += 1;
            } else if byte == b';' {
                self.skip_line();
            } else if self.starts_with(b"#|") {
                self.skip_block()?;
            } else if self.starts_with(b"#;") {
                self.skip_expression()?;
            } else if self.starts_with(b"|#") {
                return Err(SpecError::at(self.pos, "\"|#\" closes a comment that was never opened"));
            } else {
                break;
            }
        }
        Ok(())
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.pos += 1;
        }
    }

    /// `#| … |#`; strings in it are read as strings, so that one may hold a `|#`.
    fn skip_block(&mut self) -> Result<(), SpecError> {
        let mut open = Vec::new();
        loop {
            let at = self.pos;
            if self.starts_with(b"#|") {
                open.push(at);
                self.pos += 2;
            } else if self.starts_with(b"|#") {
                open.pop();
                self.pos += 2;
                if open.is_empty() {
                    return Ok(());
                }
            } else {
                match self.peek() {
                    Some(b'"') => {
                        self.string(at)?;
                    }
                    Some(_) => self.pos += 1,
                    None => {
                        let opened = open.last().copied().unwrap_or(at);
                        return Err(
                            SpecError::at(opened, "this comment is never closed").hint("add a \"|#\"")
                        );
                    }
                }
            }
        }
    }

    /// `#;` and the expression it drops.
    fn skip_expression(&mut self) -> Result<(), SpecError> {
        let at = self.pos;
        self.pos += 2;
        if self.depth == MAX_DEPTH {
            return Err(SpecError::at(at, format!("comments are nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        self.skip_blanks_and_comments()?;
        let dropped = match self.peek() {
            Some(b')') => None,
            _ => self.next()?,
        };
        self.depth -= 1;
        match dropped {
            Some(_) => Ok(()),
            None => Err(SpecError::at(at, "\"#;\" has no expression after it to drop")),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::super::printer::to_machine;
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> String {
        match read_one(text.as_bytes()) {
            Ok(sexp) => String::from_utf8(to_machine(&sexp)).unwrap(),
            Err(error) => format!("{error}"),
        }
    }

    #[test]
    fn every_form_of_the_notation_is_read() {
        for (text, read_as) in [
            ("(a b)", "(a b)"),
            ("  ; note\n( a\t\"b\" ) ; end", "(a b)"),
            ("#| block #| nested |# |# a", "a"),
            ("#| \"|#\" |# a", "a"),
            ("(#;(dropped (deep)) a #;b #;#;c d e)", "(a e)"),
            ("(a\"b\"c;x\n)", "(a b c)"),
            ("(\"\" # | #a |b a#)", "(\"\"# | #a |b a#)"),
            (r"a\n", r#""a\\n""#),
            (r#""\065\x42\'\"\\""#, r#""AB'\"\\""#),
            (r#""\n\t\r\b""#, r#""\n\t\r\b""#),
            (r#""\q \z""#, r#""\\q \\z""#),
            ("\"one \\\n   \t two\"", "\"one two\""),
            ("\"one \\\r\n  two\"", "\"one two\""),
            ("\"a\nb\"", r#""a\nb""#),
            ("()", "()"),
        ] {
            assert_eq!(read(text), read_as, "{text}");
        }
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (text, told) in [
            ("", "line 1, column 1: the text is empty: it must hold one expression"),
            ("; only\n", "line 2, column 1: the text is empty: it must hold one expression"),
            ("(a\n (b c)", "line 1, column 1: this \"(\" is never closed"),
            ("(a\n (b c", "line 2, column 2: this \"(\" is never closed"),
            ("(a))", "line 1, column 4: unexpected \")\""),
            ("(a) (b)", "line 1, column 5: unexpected text after the end of the expression"),
            ("(a \"b)", "line 1, column 4: this string is never closed"),
            ("(a #| #| |# b)", "line 1, column 4: this comment is never closed"),
            ("(a |# b)", "line 1, column 4: \"|#\" closes a comment that was never opened"),
            ("(a#|b|# c)", "line 1, column 3: a comment mark inside a bare word"),
            ("(a #;)", "line 1, column 4: \"#;\" has no expression after it to drop"),
            (r#"("\300")"#, "line 1, column 3: a malformed escape in a string"),
            (r#"("\x4g")"#, "line 1, column 3: a malformed escape in a string"),
            (r#"("\6")"#, "line 1, column 3: a malformed escape in a string"),
        ] {
            assert_eq!(read(text), told, "{text}");
        }
    }

    #[test]
    fn a_hostile_depth_is_refused_and_not_recursed_into() {
        for text in ["(".repeat(1_000_000), "#;".repeat(1_000_000)] {
            assert!(read(&text).contains("nested more than"));
        }
    }

    fn any_sexp() -> impl Strategy<Value = Sexp> {
        let atom = proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b"#|;\"\\ ()\n\t"[..])],
            0..12,
        );
        atom.prop_map(Sexp::atom)
            .prop_recursive(4, 40, 6, |inner| proptest::collection::vec(inner, 0..6).prop_map(Sexp::list))
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_one(&text);
        }

        #[test]
        fn reading_what_looks_like_a_spec_never_panics(text in r#"[()"\\#|;a-c0-9x \n]{0,60}"#) {
            let _ = read_one(text.as_bytes());
        }

        #[test]
        fn what_is_printed_is_read_back_the_same(sexp in any_sexp()) {
            prop_assert_eq!(read_one(&to_machine(&sexp)), Ok(sexp));
        }
    }
}
