//! A spec as a Dockerfile.
//!
//! [`Quoting::Original`] is what OBuilder prints, byte for byte. Docker reads some of that otherwise than the
//! spec means it: strings with blanks, `$` or newlines are not quoted. [`Quoting::Strict`] quotes them.
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::{Copy, CopyFrom, Mount, Op, Run, Spec, User};

mod original;
mod stages;
mod strict;

use stages::{Stage, stages};

/// How a Dockerfile is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// With BuildKit's mounts for caches and secrets; without, steps do without them.
    pub buildkit: bool,
    /// Which character takes the meaning from the next one.
    pub escape: Escape,
    /// What is done about strings that Docker takes for more than strings.
    pub quoting: Quoting,
}

/// A Dockerfile's escape character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// The backslash.
    Unix,
    /// The backtick, as paths of Windows are full of backslashes.
    Windows,
}

/// How strings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// As OBuilder writes them.
    Original,
    /// So that Docker does what the spec says.
    Strict,
}

impl Escape {
    fn byte(self) -> u8 {
        match self {
            Self::Unix => b'\\',
            Self::Windows => b'`',
        }
    }
}

/// The Dockerfile of `spec`.
pub fn print(spec: &Spec, options: Options) -> Vec<u8> {
    let mut out = Vec::new();
    if options.escape == Escape::Windows {
        out.extend(b"#escape=`\n");
    }
    for (number, stage) in stages(spec, options.quoting).iter().enumerate() {
        if number > 0 {
            out.push(b'\n');
        }
        Printer { options, stage, user: User::default(), shell: None, out: &mut out }.stage();
    }
    out
}

/// Writes one stage.
struct Printer<'a> {
    options: Options,
    stage: &'a Stage<'a>,
    user: User,
    shell: Option<&'a [OsString]>,
    out: &'a mut Vec<u8>,
}

impl<'a> Printer<'a> {
    fn stage(&mut self) {
        let mut from = self.stage.spec.from.as_bytes().to_vec();
        if let Some(alias) = &self.stage.alias {
            from.extend(b" as ");
            from.extend(alias.as_bytes());
        }
        self.line("FROM", &from);
        for op in &self.stage.spec.ops {
            self.op(op);
        }
    }

    fn op(&mut self, op: &'a Op) {
        match op {
            Op::Comment(text) => self.comment(text),
            Op::Workdir(dir) => self.workdir(dir),
            Op::Shell(words) => {
                self.shell = Some(words);
                let line = original::shell(words);
                self.line("SHELL", &line);
            }
            Op::Run(run) => self.run(run),
            Op::Copy(copy) => self.copy(copy),
            Op::User(user) => {
                self.user = user.clone();
                self.line("USER", &shown_user(user));
            }
            Op::Env(name, value) => {
                let assignment = match self.options.quoting {
                    Quoting::Original => original::assignment(name, value, self.options.escape),
                    Quoting::Strict => strict::assignment(name, value, self.options.escape),
                };
                self.line("ENV", &assignment);
            }
        }
    }

    fn comment(&mut self, text: &OsStr) {
        match self.options.quoting {
            Quoting::Original => self.line("#", text.as_bytes()),
            Quoting::Strict => {
                for line in text.as_bytes().split(|&b| b == b'\n') {
                    self.line("#", line);
                }
            }
        }
    }

    fn workdir(&mut self, dir: &OsStr) {
        match self.options.quoting {
            Quoting::Original => self.line("WORKDIR", dir.as_bytes()),
            // In a spec the empty path stays where it is; Docker takes it for a mistake.
            Quoting::Strict if dir.is_empty() => {}
            Quoting::Strict => self.line("WORKDIR", &strict::word(dir, self.options.escape)),
        }
    }

    fn run(&mut self, run: &Run) {
        let mut line = self.mounts(run);
        let command = match self.options.quoting {
            Quoting::Original => original::command(&run.shell, self.options.escape),
            Quoting::Strict => strict::command(&run.shell, self.shell, self.options.escape),
        };
        line.extend(command);
        self.line("RUN", &line);
    }

    /// `--mount=…` for each secret and cache, each followed by a blank.
    fn mounts(&self, run: &Run) -> Vec<u8> {
        if !self.options.buildkit {
            return Vec::new();
        }
        let secrets = run.secrets.iter().map(|mount| self.mount("secret", mount));
        secrets.chain(run.cache.iter().map(|mount| self.mount("cache", mount))).flatten().collect()
    }

    fn mount(&self, kind: &str, mount: &Mount) -> Vec<u8> {
        let value = |value: &OsStr| match self.options.quoting {
            Quoting::Original => value.as_bytes().to_vec(),
            Quoting::Strict => strict::mount_value(value),
        };
        let mut fields = vec![
            [b"type=", kind.as_bytes()].concat(),
            [b"id=", &value(&mount.id)[..]].concat(),
            [b"target=", &value(&mount.target)[..]].concat(),
        ];
        if let User::Unix { uid, .. } = self.user {
            fields.push(format!("uid={uid}").into_bytes());
        }
        let option = |(name, given): &(OsString, OsString)| [name.as_bytes(), b"=", &value(given)].concat();
        fields.extend(mount.buildkit_options.iter().map(option));
        [&b"--mount="[..], &fields.join(&b','), b" "].concat()
    }

    fn copy(&mut self, copy: &Copy) {
        let mut line = Vec::new();
        if let CopyFrom::Build(name) = &copy.from {
            line.extend([b"--from=", self.stage.alias_of(name).as_bytes(), b" "].concat());
        }
        if self.user != User::default() {
            line.extend([b"--chown=", &shown_user(&self.user)[..], b" "].concat());
        }
        let paths: Vec<&OsStr> = copy.src.iter().chain([&copy.dst]).map(OsString::as_os_str).collect();
        line.extend(match self.options.quoting {
            Quoting::Original => paths.join(OsStr::new(" ")).as_bytes().to_vec(),
            Quoting::Strict => strict::paths(&paths, self.options.escape),
        });
        self.line("COPY", &line);
    }

    fn line(&mut self, instruction: &str, rest: &[u8]) {
        self.out.extend(instruction.as_bytes());
        self.out.push(b' ');
        self.out.extend(rest);
        self.out.push(b'\n');
    }
}

fn shown_user(user: &User) -> Vec<u8> {
    match user {
        User::Unix { uid, gid } => format!("{uid}:{gid}").into_bytes(),
        User::Windows(name) => name.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests;
