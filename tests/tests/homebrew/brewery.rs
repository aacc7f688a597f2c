//! Everything that the scripts need: remotes to install from, a mount at the prefix, users of their own.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use obuilder_tests::build::Ended;
use obuilder_tests::{BuildUser, Mount, Scratch, World, binary, process};

/// A world with git repositories and an installer in it, and an obuilderfs mounted at the prefix.
pub(crate) struct Brewery {
    // Fields are dropped in this order: users before the mount, the mount before the directories.
    brewers: Vec<Brewer>,
    _mount: Mount,
    pub(crate) world: World,
    /// Where homes are.
    pub(crate) homes: PathBuf,
}

/// A user of a base image, removed with its home when dropped.
pub(crate) struct Brewer {
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    pub(crate) uid: u32,
    scoreboard: PathBuf,
    _reserved: BuildUser,
}

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).canonicalize().unwrap()
}

impl Brewery {
    pub(crate) fn new() -> Self {
        // Steps of a build have a /tmp of their own, and must see this.
        let scratch = Scratch::below(Path::new("/var/lib"));
        let (scoreboard, point, fallback) =
            (scratch.dir("scoreboard"), scratch.dir("prefix"), scratch.dir("fallback"));
        let homes = scratch.dir("homes");
        let world = World { scratch, scoreboard, point, fallback };
        make_remotes(&world);
        let mount = world.mount();
        Self { brewers: Vec::new(), _mount: mount, world, homes }
    }

    /// Makes `count` users with `new-user.sh`.
    pub(crate) fn with_users(count: usize) -> Self {
        let mut brewery = Self::new();
        for _ in 0..count {
            let reserved = BuildUser::new();
            let uid = reserved.uid;
            let name = format!("obtest-brew-{uid}");
            let home = brewery.homes.join(&name);
            let scoreboard = brewery.world.scoreboard.clone();
            let brewer = Brewer { name, home, uid, scoreboard, _reserved: reserved };
            let homes = format!("--homes={}", brewery.homes.display());
            let ended = script("new-user.sh", &[&uid.to_string(), &brewer.name, &homes]);
            brewery.brewers.push(brewer);
            ended.done();
        }
        brewery
    }

    pub(crate) fn user(&self, index: usize) -> &Brewer {
        &self.brewers[index]
    }

    pub(crate) fn prefix(&self) -> &Path {
        &self.world.point
    }

    /// A file or repository that the user can read.
    pub(crate) fn remote(&self, name: &str) -> PathBuf {
        self.world.scratch.path().join("remotes").join(name)
    }

    /// The arguments of `init-homebrew.sh` for this brewery, installer left out.
    pub(crate) fn arguments(&self, user: &Brewer) -> Vec<String> {
        let path = |option: &str, path: &Path| format!("--{option}={}", path.display());
        vec![
            user.name.clone(),
            path("prefix", self.prefix()),
            path("scoreboard", &self.world.scoreboard),
            path("remote", &self.remote("brew")),
            path("core-remote", &self.remote("core")),
        ]
    }

    /// `init-homebrew.sh` for `user`, not started yet.
    pub(crate) fn init(&self, user: &Brewer, installer: &Path) -> Command {
        let mut command = script_command("init-homebrew.sh");
        command.args(self.arguments(user)).arg(format!("--installer={}", installer.display()));
        command
    }

    /// Installs Homebrew and `packages` for `user`.
    pub(crate) fn install(&self, user: &Brewer, packages: &str) -> Ended {
        let mut command = self.init(user, &self.remote("installer.sh"));
        command.arg(format!("--packages={packages}"));
        process::output(&mut command).into()
    }

    /// Shows the user's home to it from here on.
    pub(crate) fn publish(&self, user: &Brewer) {
        self.world.publish(user.uid, &user.home);
    }

    /// Runs `line` with sh in a private view of `user`'s, the prefix in PATH and as `$0`.
    pub(crate) fn in_view(&self, user: &Brewer, line: &str) -> Ended {
        process::output(&mut self.enter(user, line)).into()
    }

    /// The command that does it, not started yet.
    pub(crate) fn enter(&self, user: &Brewer, line: &str) -> Command {
        let mut command = Command::new(binary::obuilderfs());
        command.arg("enter").arg(self.prefix()).arg(format!("--uid={}", user.uid));
        command.args(["--", "sh", "-ec", line]).arg(self.prefix()).current_dir("/");
        command.env("PATH", format!("{}/bin:{}", self.prefix().display(), std::env::var("PATH").unwrap()));
        command.env("HOMEBREW_BOTTLES", self.remote("bottles"));
        command
    }
}

impl Drop for Brewer {
    fn drop(&mut self) {
        let board = format!("--scoreboard={}", self.scoreboard.display());
        let ended = script("cleanup.sh", &[&self.name, "--home", &board]);
        if ended.code != Some(0) {
            eprintln!("{} is left: {}", self.name, ended.stderr);
        }
    }
}

/// One of the scripts, told where obuilderfs is.
pub(crate) fn script_command(name: &str) -> Command {
    let mut command = Command::new(checkout("../homebrew-scripts").join(name));
    command.env("OBUILDERFS", binary::obuilderfs());
    command
}

/// Runs one of the scripts to its end.
pub(crate) fn script(name: &str, arguments: &[&str]) -> Ended {
    process::output(script_command(name).args(arguments)).into()
}

/// Starts all at the same time; each must succeed.
pub(crate) fn all_at_once(commands: Vec<Command>) -> Vec<Ended> {
    let start = |mut command: Command| {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = commands.into_iter().map(start).collect();
    children.into_iter().map(|child| Ended::from(child.wait_with_output().unwrap()).done()).collect()
}

fn make_remotes(world: &World) {
    let shaped = checkout("homebrew/shaped");
    let remotes = world.scratch.dir("remotes");
    for name in ["brew", "core"] {
        let to = remotes.join(name);
        let commit = "cp -r \"$1\" \"$2\" && cd \"$2\" && git -c init.defaultBranch=main init --quiet && git add . \
                      && git -c user.name=test -c user.email=test@localhost commit --quiet --message=all \
                      && chmod -R go+rX .";
        let made =
            process::output(Command::new("sh").args(["-ec", commit, "sh"]).arg(shaped.join(name)).arg(&to));
        Ended::from(made).done();
    }
    let installer = fs::read_to_string(shaped.join("installer.sh")).unwrap();
    write(&remotes.join("installer.sh"), &installer.replace("@PREFIX@", &world.point.display().to_string()));
    let bottles = world.scratch.dir("remotes/bottles");
    fs::set_permissions(bottles, Permissions::from_mode(0o1777)).unwrap();
}

/// Writes a file that everybody can read.
pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}
