//! How OBuilder writes the parts of a Dockerfile's lines.
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::Escape;
use crate::spec::printer::escape_into;

/// `[ "/bin/sh", "-c" ]`.
pub(super) fn shell(words: &[OsString]) -> Vec<u8> {
    let quoted = |word: &OsString| {
        let mut quoted = vec![b'"'];
        escape_into(word.as_bytes(), &mut quoted);
        quoted.push(b'"');
        quoted
    };
    let words: Vec<_> = words.iter().map(quoted).collect();
    [b"[ ", &words.join(&b", "[..])[..], b" ]"].concat()
}

/// `NAME="VALUE"`.
pub(super) fn assignment(name: &OsStr, value: &OsStr, escape: Escape) -> Vec<u8> {
    let mut out = [name.as_bytes(), b"=\""].concat();
    for &byte in value.as_bytes() {
        if byte == b'"' || byte == escape.byte() {
            out.push(escape.byte());
        }
        out.push(byte);
    }
    out.push(b'"');
    out
}

/// A command; its lines are joined by Docker.
pub(super) fn command(command: &OsStr, escape: Escape) -> Vec<u8> {
    let lines: Vec<&[u8]> = command.as_bytes().split(|&b| b == b'\n').collect();
    lines.join(&[b' ', escape.byte(), b'\n', b' ', b' ', b' ', b' '][..])
}
