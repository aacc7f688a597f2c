//! A step as the process that runs it is told about it, and what that process reports.
use std::ffi::OsString;
use std::path::PathBuf;

use super::Status;
use super::wire::{Reader, Writer};

/// Everything about one step, worked out: whoever has it needs to know nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who runs it.
    pub uid: u32,
    /// The group it runs in.
    pub gid: u32,
    /// The user's name.
    pub name: String,
    /// The directory that becomes the home.
    pub home_source: PathBuf,
    /// Where the home appears.
    pub home: PathBuf,
    /// Where the home's `local` appears, if anywhere.
    pub prefix: Option<PathBuf>,
    /// A directory of the step's own, with `tmp` and `var-tmp` in it, for what must not outlive it.
    pub scratch: PathBuf,
    /// The user's login shell.
    pub shell: PathBuf,
    /// What follows [`super::login::SCRIPT`] on its command line.
    pub arguments: Vec<OsString>,
    /// The environment it starts with.
    pub env: Vec<(OsString, OsString)>,
    /// Files only the user may read: where the step finds each, and its bytes.
    pub secrets: Vec<(PathBuf, Vec<u8>)>,
    /// Directories the user may write to besides: where each is, and where the step finds it.
    pub caches: Vec<(PathBuf, PathBuf)>,
}

impl Plan {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.uid);
        out.number(self.gid);
        out.string(&self.name);
        out.string(&self.home_source);
        out.string(&self.home);
        out.list(self.prefix.as_slice(), |out, prefix| out.string(prefix));
        out.string(&self.scratch);
        out.string(&self.shell);
        out.list(&self.arguments, |out, word| out.string(word));
        out.list(&self.env, |out, (key, value)| {
            out.string(key);
            out.string(value);
        });
        out.list(&self.secrets, |out, (target, bytes)| {
            out.string(target);
            out.bytes(bytes);
        });
        out.list(&self.caches, |out, (source, target)| {
            out.string(source);
            out.string(target);
        });
        out.finish()
    }

    /// From bytes; `None` if they are not a whole plan.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let plan = Self {
            uid: from.number()?,
            gid: from.number()?,
            name: from.string()?.into_string().ok()?,
            home_source: from.string()?.into(),
            home: from.string()?.into(),
            prefix: from.list(|from| from.string().map(PathBuf::from))?.pop(),
            scratch: from.string()?.into(),
            shell: from.string()?.into(),
            arguments: from.list(Reader::string)?,
            env: from.list(|from| Some((from.string()?, from.string()?)))?,
            secrets: from.list(|from| Some((from.string()?.into(), from.bytes()?.to_vec())))?,
            caches: from.list(|from| Some((from.string()?.into(), from.string()?.into())))?,
        };
        from.0.is_empty().then_some(plan)
    }
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It ran, and left these processes behind, which were then killed.
    Ended {
        /// How it ended.
        status: Status,
        /// Their names.
        left: Vec<String>,
    },
    /// It was not started, because this could not be done.
    NotStarted {
        /// What could not be done.
        what: String,
        /// Why.
        reason: String,
    },
}

const EXITED: u32 = 0;
const SIGNALLED: u32 = 1;
const NOT_STARTED: u32 = 2;

impl Report {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Ended { status, left } => {
                let (kind, number) = match *status {
                    Status::Exited(code) => (EXITED, code),
                    Status::Signalled(signal) => (SIGNALLED, signal),
                };
                out.number(kind);
                out.number(number.cast_unsigned());
                out.list(left, |out, name| out.string(name));
            }
            Self::NotStarted { what, reason } => {
                out.number(NOT_STARTED);
                out.string(what);
                out.string(reason);
            }
        }
        out.finish()
    }

    /// From bytes; `None` if they are not a whole report.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let text = |string: OsString| string.to_string_lossy().into_owned();
        let kind = from.number()?;
        let report = if kind == NOT_STARTED {
            Self::NotStarted { what: text(from.string()?), reason: text(from.string()?) }
        } else {
            let number = from.number()?.cast_signed();
            let status = match kind {
                EXITED => Status::Exited(number),
                SIGNALLED => Status::Signalled(number),
                _ => return None,
            };
            Self::Ended { status, left: from.list(|from| from.string().map(text))? }
        };
        from.0.is_empty().then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan() -> Plan {
        Plan {
            uid: 705,
            gid: 600,
            name: "obuilder705".into(),
            home_source: "/store/rootfs".into(),
            home: "/home/obuilder".into(),
            prefix: Some("/usr/local".into()),
            scratch: "/store/scratch".into(),
            shell: "/bin/sh".into(),
            arguments: vec!["/".into(), "".into(), "a\nb".into()],
            env: vec![("A".into(), "b=c".into())],
            secrets: vec![("/run/secrets/x".into(), vec![0, 255])],
            caches: vec![("/store/cache-tmp/0-c".into(), "/home/obuilder/.cache".into())],
        }
    }

    #[test]
    fn plans_and_reports_come_through_whole() {
        for prefix in [None, Some("/usr/local".into())] {
            let plan = Plan { prefix, ..plan() };
            assert_eq!(Plan::decode(&plan.encode()), Some(plan));
        }
        let reports = [
            Report::Ended { status: Status::Exited(3), left: vec!["sleep".into()] },
            Report::Ended { status: Status::Signalled(9), left: Vec::new() },
            Report::NotStarted { what: "bind /x".into(), reason: "No such file".into() },
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
    }

    #[test]
    fn a_plan_cut_short_is_none() {
        let bytes = plan().encode();
        for length in 0..bytes.len() {
            assert_eq!(Plan::decode(&bytes[..length]), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Plan::decode(&bytes);
            let _ = Report::decode(&bytes);
        }
    }
}
