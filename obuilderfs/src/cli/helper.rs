//! `mount.fuse.obuilderfs SOURCE MOUNTPOINT [-sfnv] [-o OPTIONS] [-t TYPE]`: what mount(8) starts for the type
//! `fuse.obuilderfs` if there is a program of that name in `/sbin`. The source is the scoreboard.
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{fail, start_daemon};
use crate::options::{OptionError, Options};
use crate::session::remount;

/// Exit codes of mount(8): the command is wrong.
const USAGE: u8 = 1;
/// It cannot be mounted.
const FAILURE: u8 = 32;

/// What mount(8) asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    source: OsString,
    mountpoint: PathBuf,
    options: Vec<String>,
    /// `-f`: everything but the mount itself.
    fake: bool,
    /// `-s`: options that are not known are ignored.
    sloppy: bool,
    verbose: bool,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum CallError {
    #[error("usage: mount.fuse.obuilderfs SCOREBOARD MOUNTPOINT [-sfnv] [-o OPTIONS]")]
    Usage,
    #[error(transparent)]
    Option(#[from] OptionError),
    #[error(
        "mount option {0}: cannot be had; it serves each user with that user's rights, and so has to be root"
    )]
    Privileges(&'static str),
}

/// Whether the program was started under such a name.
pub(super) fn is_meant(program: Option<&OsString>) -> bool {
    let name = program.and_then(|program| Path::new(program).file_name()?.to_str());
    name.is_some_and(|name| name.starts_with("mount.fuse.") || name == "mount.obuilderfs")
}

/// Mounts, and returns the exit codes that mount(8) expects of a helper.
pub(super) fn run(words: &[OsString]) -> ExitCode {
    let checked = Call::from_words(words.get(1..).unwrap_or_default()).and_then(|call| {
        let options = call.checked_options()?;
        Ok((call, options))
    });
    match checked {
        Err(e) => fail(USAGE, &e),
        Ok((call, _)) if call.fake => ExitCode::SUCCESS,
        Ok((call, (options, _))) if options.remount => {
            remount(&call.mountpoint, &options).map_or_else(|e| fail(FAILURE, &e), |()| ExitCode::SUCCESS)
        }
        Ok((call, (_, kept))) => start_daemon(&call.command(&kept), FAILURE),
    }
}

impl Call {
    fn from_words(words: &[OsString]) -> Result<Self, CallError> {
        let [source, mountpoint, rest @ ..] = words else { return Err(CallError::Usage) };
        let mut call =
            Self { source: source.clone(), mountpoint: PathBuf::from(mountpoint), ..Self::default() };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match word.to_str().ok_or(CallError::Usage)? {
                "-o" => {
                    let list = rest.next().and_then(|list| list.to_str()).ok_or(CallError::Usage)?;
                    call.options.extend(list.split(',').map(str::to_owned));
                }
                "-t" | "-N" => drop(rest.next().ok_or(CallError::Usage)?),
                flags => call.set(flags.strip_prefix('-').ok_or(CallError::Usage)?)?,
            }
        }
        Ok(call)
    }

    fn set(&mut self, flags: &str) -> Result<(), CallError> {
        for flag in flags.chars() {
            match flag {
                'f' => self.fake = true,
                's' => self.sloppy = true,
                'v' => self.verbose = true,
                // There is no mtab to leave alone.
                'n' => {}
                _ => return Err(CallError::Usage),
            }
        }
        Ok(())
    }

    /// The options, and those of the words that stay.
    fn checked_options(&self) -> Result<(Options, Vec<String>), CallError> {
        let (mut options, mut kept) = (Options::default(), Vec::new());
        for option in &self.options {
            if let Some(name) =
                ["drop_privileges", "setuid"].into_iter().find(|name| option.starts_with(name))
            {
                return Err(CallError::Privileges(name));
            }
            match options.add(option) {
                Err(OptionError::Unknown(_)) if self.sloppy => {}
                added => {
                    added?;
                    kept.push(option.clone());
                }
            }
        }
        Ok((options, kept))
    }

    /// The command line of `obuilderfs` that does it.
    fn command(&self, options: &[String]) -> Vec<OsString> {
        let mut words = vec![OsString::from("obuilderfs"), "-o".into(), options.join(",").into()];
        if self.verbose {
            words.push("-v".into());
        }
        words.extend([OsStr::new("--"), &self.source, self.mountpoint.as_os_str()].map(OsStr::to_owned));
        words
    }
}
