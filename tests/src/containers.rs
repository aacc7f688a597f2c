//! `obuilder build`, started as a user does, on a store of its own and a base image made of busybox.
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::build::{Ended, names};
use crate::process::Guarded;
use crate::{Scratch, binary, mountinfo, process};

/// A source tree, a base image, specs and a store.
#[derive(Debug)]
pub struct Containers {
    /// The scratch directory everything lies in.
    pub scratch: Scratch,
    /// The source directory.
    pub source: PathBuf,
    /// The store's directory.
    pub store: PathBuf,
    /// What kind of store it is, as the address says.
    pub kind: &'static str,
    /// The base image: a root file system whose programs are all busybox.
    pub image: PathBuf,
    options: Vec<OsString>,
}

impl Containers {
    /// An empty source, a base image, and a store yet to be made by the builder.
    pub fn new() -> Self {
        Self::of(Scratch::new())
    }

    /// The same, everything in the directory `parent`.
    pub fn below(parent: &Path) -> Self {
        Self::of(Scratch::below(parent))
    }

    fn of(scratch: Scratch) -> Self {
        let source = scratch.dir("source");
        let image = scratch.dir("image");
        make_image(&image);
        let store = scratch.path().join("store");
        Self { source, image, store, kind: "rsync", options: Vec::new(), scratch }
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

    /// The text of a spec: the base image, `/bin/sh -c` as shell, and `ops`.
    pub fn text(&self, ops: &str) -> String {
        format!("((from {}) (shell /bin/sh -c) {ops})", self.image.display())
    }

    /// The command that builds the file `spec`, not started yet.
    pub fn command(&self, spec: &Path) -> Command {
        let mut command = Command::new(binary::obuilder());
        command.arg("build").arg(&self.source).arg("-f").arg(spec);
        command.arg(format!("--store={}:{}", self.kind, self.store.display()));
        command.args(&self.options);
        command
    }

    /// `obuilder` with the command and options `words` on the store, not started yet.
    pub fn store_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary::obuilder());
        command.args(words).arg(format!("--store={}:{}", self.kind, self.store.display()));
        command
    }

    /// Builds the spec `text` to its end.
    pub fn run(&self, text: &str) -> Ended {
        process::output(&mut self.command(&self.spec(text))).into()
    }

    /// Builds `ops` on the base image.
    pub fn ops(&self, ops: &str) -> Ended {
        self.run(&self.text(ops))
    }

    /// Builds one step for each of `commands` on the base image.
    pub fn steps(&self, commands: &[&str]) -> Ended {
        self.ops(&commands.iter().map(|command| run(command)).collect::<String>())
    }

    /// Starts a build, and returns when its step has printed the line `waiting`, with the rest of its output.
    pub fn start_waiting(&self, text: &str) -> (Guarded, impl BufRead + use<>) {
        let mut command = self.command(&self.spec(text));
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Guarded::from(command.spawn().expect("obuilder starts"));
        let from = child.stdout.take().expect("piped");
        let mut from = BufReader::new(from);
        assert!(
            from.by_ref().lines().any(|line| line.expect("output") == "waiting"),
            "the step did not start"
        );
        (child, from)
    }

    /// The tree of result `id`.
    pub fn rootfs(&self, id: &str) -> PathBuf {
        self.store.join("result").join(id).join("rootfs")
    }

    /// The ids of all results kept.
    pub fn results(&self) -> Vec<String> {
        names(&self.store.join("result"))
    }

    /// Everything that a build may have left on the machine and should not have: one line each.
    pub fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (dir, what) in [("result-tmp", "half a result"), ("cache-tmp", "a clone of a cache")] {
            left.extend(names(&self.store.join(dir)).iter().map(|name| format!("{what}: {name}")));
        }
        let sandbox = self.store.join("state/sandbox");
        let bundles = names(&sandbox).into_iter().filter(|name| name != "runtime");
        left.extend(bundles.map(|name| format!("a bundle: {name}")));
        left.extend(names(&sandbox.join("runtime")).iter().map(|name| format!("a container: {name}")));
        let below = mountinfo::below(self.scratch.path());
        left.extend(below.iter().map(|mount| format!("mount: {}", mount.mount_point.display())));
        left
    }
}

impl Default for Containers {
    fn default() -> Self {
        Self::new()
    }
}

/// `(run (shell "COMMAND"))`.
pub fn run(command: &str) -> String {
    format!(" (run (shell \"{}\"))\n", command.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The control groups of containers that the builder `id` has made, which are named after it.
pub fn cgroups_of(id: u32) -> Vec<String> {
    let places = ["", "devices", "pids", "memory", "cpu", "freezer"];
    let names = places.iter().flat_map(|place| names(&Path::new("/sys/fs/cgroup").join(place)));
    names.filter(|name| name.starts_with("obuilder-") && name.contains(&format!("-{id:x}-"))).collect()
}

/// The command lines on this machine that have `text` anywhere in them.
pub fn running_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text)).collect()
}

/// Whether `word` is in the command line of a process of this machine.
pub fn is_running(word: &str) -> bool {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|&b| b == 0).any(|part| part == word.as_bytes()))
}

/// A root file system that holds nothing but busybox and what programs take for granted.
fn make_image(root: &Path) {
    for dir in ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr/bin"] {
        fs::create_dir_all(root.join(dir)).expect("directory of the image");
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("mode of /tmp");
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")
        .expect("passwd");
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").expect("group");
    fs::copy(busybox(), root.join("bin/busybox")).expect("busybox");
    for applet in applets() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).expect("link of an applet");
        }
    }
}

/// The machine's busybox, which must not need any library.
fn busybox() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|path| path.is_file());
    found.expect("busybox is there: the test has asked for it")
}

/// What it can do; asked once.
fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let listed = Command::new(busybox()).arg("--list").output().expect("busybox runs").stdout;
        String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect()
    })
}
