//! How the parts of a Dockerfile's lines are written so that Docker takes them for what they are.
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::{Escape, original};
use crate::step::id::hex;

/// The shell a spec begins with. Docker's is another.
const SHELL: [&str; 3] = ["/usr/bin/env", "bash", "-c"];

/// `NAME="VALUE"`, without variables in it.
pub(super) fn assignment(name: &OsStr, value: &OsStr, escape: Escape) -> Vec<u8> {
    let mut out = [name.as_bytes(), b"=\""].concat();
    for &byte in value.as_bytes() {
        if byte == b'"' || byte == b'$' || byte == escape.byte() {
            out.push(escape.byte());
        }
        out.push(byte);
    }
    out.push(b'"');
    out
}

/// A word in which nothing is a variable.
pub(super) fn word(word: &OsStr, escape: Escape) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in word.as_bytes() {
        if byte == b'$' || byte == escape.byte() || byte == b'"' || byte == b'\'' {
            out.push(escape.byte());
        }
        out.push(byte);
    }
    out
}

/// Sources and destination of a COPY.
pub(super) fn paths(paths: &[&OsStr], escape: Escape) -> Vec<u8> {
    let is_plain = |path: &&OsStr| {
        !path.is_empty()
            && !path.as_bytes().starts_with(b"[")
            && path.as_bytes().iter().all(|&b| b > b' ' && b != 127 && b"\"'".iter().all(|&quote| quote != b))
    };
    let words: Vec<_> = paths.iter().map(|path| word(path, escape)).collect();
    if paths.iter().all(is_plain) { words.join(&b' ') } else { json(&words) }
}

/// A command. Where a line of it could be taken for more than that, the shell is called by name.
pub(super) fn command(command: &OsStr, shell: Option<&[OsString]>, escape: Escape) -> Vec<u8> {
    let bytes = command.as_bytes();
    let first = bytes.trim_ascii_start().first();
    let is_plain = shell.is_some_and(|words| !words.is_empty())
        && !bytes.contains(&b'\n')
        && !bytes.windows(2).any(|two| two == b"<<")
        && !matches!(first, None | Some(b'[' | b'-' | b'#'))
        && bytes.last().is_some_and(|&last| last != escape.byte() && !last.is_ascii_whitespace());
    if is_plain {
        return original::command(command, escape);
    }
    let default: Vec<OsString> = SHELL.map(OsString::from).to_vec();
    let words = shell.unwrap_or(&default).iter().map(|word| word.as_bytes().to_vec());
    json(&words.chain([bytes.to_vec()]).collect::<Vec<_>>())
}

/// A value between the commas of a `--mount`: what would end it is written as `%xx`.
pub(super) fn mount_value(value: &OsStr) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in value.as_bytes() {
        if byte <= b' ' || byte >= 127 || b"%,\"'\\`$".contains(&byte) {
            out.push(b'%');
            out.extend(hex(&[byte]).bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

/// `["a", "b"]`, on one line. Bytes that are not UTF-8, which JSON does not have, are written as they are.
fn json(words: &[Vec<u8>]) -> Vec<u8> {
    let quoted = |word: &Vec<u8>| {
        let mut out = vec![b'"'];
        for &byte in word {
            match byte {
                b'"' | b'\\' => out.extend([b'\\', byte]),
                b'\n' => out.extend(b"\\n"),
                b'\t' => out.extend(b"\\t"),
                0..b' ' => out.extend(format!("\\u{byte:04x}").bytes()),
                _ => out.push(byte),
            }
        }
        out.push(b'"');
        out
    };
    let words: Vec<_> = words.iter().map(quoted).collect();
    [b"[", &words.join(&b", "[..])[..], b"]"].concat()
}
