//! `obuilder macos`, started as a user does, on a store and a build user of its own.
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::mountinfo::MountEntry;
use crate::{BuildUser, Scratch, binary, mountinfo, process};

/// A source tree, specs, a store and a build user, all gone when it is dropped.
#[derive(Debug)]
pub struct Build {
    /// The scratch directory everything lies in.
    pub scratch: Scratch,
    /// The build user, its own alone.
    pub user: BuildUser,
    /// The source directory.
    pub source: PathBuf,
    /// The store's kind: what stands before its directory in its address.
    pub kind: &'static str,
    /// The store's directory.
    pub store: PathBuf,
    /// The scoreboard's directory, not made yet.
    pub scoreboard: PathBuf,
    options: Vec<OsString>,
}

/// How a build ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Panics with all it printed unless it succeeded.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The id after `Got:`.
    pub fn id(&self) -> &str {
        let last = self.stdout.lines().last().unwrap_or_default();
        last.strip_prefix("Got: \"")
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or_else(|| panic!("{self:?}"))
    }

    /// The lines that are neither headings nor the builder's own: what the steps printed.
    pub fn said(&self) -> Vec<&str> {
        let own = ["(from ", "---> ", "Got: ", "        (", "(build ", "--> "];
        let is_heading = |line: &str| line.starts_with('/') && line.contains(": (");
        let is_own = |line: &str| is_heading(line) || own.iter().any(|start| line.starts_with(start));
        self.stdout.lines().filter(|line| !is_own(line)).collect()
    }
}

impl Build {
    /// An empty source, and everything else yet to be made by the builder.
    pub fn new() -> Self {
        Self::of(BuildUser::new())
    }

    /// The same, with a build user taken already.
    pub fn of(user: BuildUser) -> Self {
        let scratch = Scratch::new();
        let source = scratch.dir("source");
        let at = |name: &str| scratch.path().join(name);
        let (store, scoreboard) = (at("store"), at("scoreboard"));
        Self { user, source, store, kind: "rsync", scoreboard, options: Vec::new(), scratch }
    }

    /// Has a store of another kind.
    #[must_use]
    pub fn on(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// Adds an option to every command from here on.
    #[must_use]
    pub fn with(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Writes a spec of its own.
    pub fn spec(&self, text: &str) -> PathBuf {
        let path = self.scratch.path().join("spec");
        fs::write(&path, text).expect("spec");
        path
    }

    /// The command that builds the file `spec`, not started yet.
    pub fn command(&self, spec: &Path) -> Command {
        let mut command = Command::new(binary::obuilder());
        command.arg("macos").arg(&self.source).arg("-f").arg(spec);
        command.arg(self.store_option());
        command.arg(format!("--uid={}", self.user.uid));
        command.arg(format!("--scoreboard={}", self.scoreboard.display()));
        command.args(&self.options);
        command
    }

    /// Builds the spec `text` to its end.
    pub fn run(&self, text: &str) -> Ended {
        self.run_file(&self.spec(text))
    }

    /// Builds the spec in the file `spec` to its end.
    pub fn run_file(&self, spec: &Path) -> Ended {
        process::output(&mut self.command(spec)).into()
    }

    /// Builds `(from empty)` and one step for each of `commands`.
    pub fn steps(&self, commands: &[&str]) -> Ended {
        self.run(&spec_of(commands))
    }

    /// Runs `obuilder` with the command and options `words` on the store.
    pub fn on_store(&self, words: &[&str]) -> Ended {
        process::output(&mut self.store_command(words)).into()
    }

    /// The same, not started yet.
    pub fn store_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary::obuilder());
        command.args(words).arg(self.store_option());
        command
    }

    fn store_option(&self) -> String {
        format!("--store={}:{}", self.kind, self.store.display())
    }

    /// The directory of result `id`.
    pub fn result(&self, id: &str) -> PathBuf {
        self.store.join("result").join(id)
    }

    /// The ids of all results kept.
    pub fn results(&self) -> Vec<String> {
        names(&self.store.join("result"))
    }

    /// Everything that a build may have left on the machine and should not have: one line each.
    pub fn left_behind(&self) -> Vec<String> {
        let below = |what: &str, dir: PathBuf| {
            names(&dir).into_iter().map(|name| format!("{what}: {name}")).collect::<Vec<_>>()
        };
        let mut left = below("half a result", self.store.join("result-tmp"));
        left.extend(below("of a step's sandbox", self.store.join("state/sandbox")));
        left.extend(below("on the scoreboard", self.scoreboard.clone()));
        left.extend(processes_of(self.user.uid).iter().map(|what| format!("process: {what}")));
        left.extend(self.mounts().iter().map(|mount| format!("mount: {}", mount.mount_point.display())));
        left.extend(files_of(self.user.uid).iter().map(|path| format!("file: {}", path.display())));
        left
    }

    /// The mounts that concern this build: those in its directories, and obuilderfs of its scoreboard.
    pub fn mounts(&self) -> Vec<MountEntry> {
        let mut mounts = mountinfo::below(self.scratch.path());
        mounts.extend(mountinfo::of_scoreboard(&self.scoreboard));
        mounts
    }
}

impl Default for Build {
    fn default() -> Self {
        Self::new()
    }
}

/// `(from empty)` and one `run` for each command.
pub fn spec_of(commands: &[&str]) -> String {
    let quoted = |command: &&str| {
        format!(" (run (shell \"{}\"))\n", command.replace('\\', "\\\\").replace('"', "\\\""))
    };
    format!("((from empty)\n{})\n", commands.iter().map(quoted).collect::<String>())
}

/// The names in `dir`, sorted; none if it does not exist.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What belongs to `uid` in the places where every user may write.
fn files_of(uid: u32) -> Vec<PathBuf> {
    let dirs = ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/home", "/var/mail"];
    let entries = dirs.into_iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    let his = |entry: &DirEntry| entry.metadata().is_ok_and(|meta| meta.uid() == uid);
    entries.filter(his).map(|entry| entry.path()).collect()
}

/// The command lines of the processes whose real or effective uid is `uid`.
pub fn processes_of(uid: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let of = |dir: PathBuf| {
        let status = fs::read_to_string(dir.join("status")).ok()?;
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        let zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
        let his = uids.split_whitespace().take(2).any(|id| id.parse() == Ok(uid));
        (his && !zombie).then(|| {
            let line = fs::read(dir.join("cmdline")).unwrap_or_default();
            format!("{} {}", dir.display(), String::from_utf8_lossy(&line).replace('\0', " "))
        })
    };
    entries.filter_map(|entry| of(entry.path())).collect()
}
