//! `obuilder image`: versions made aside and put in place whole, listed, moved elsewhere, removed.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use obuilder_tests::build::{Ended, names, processes_of};
use obuilder_tests::process::{self, eventually};
use obuilder_tests::{Build, User, binary};

use crate::brewery::Brewery;
use crate::can_brew;

/// A place for images, with a build user, a store and a prefix of its own.
struct Images {
    build: Build,
    homes: PathBuf,
    prefix: PathBuf,
}

impl Images {
    fn new() -> Self {
        let build = Build::new();
        let prefix = build.scratch.dir("prefix");
        Self::at(build, prefix)
    }

    fn at(build: Build, prefix: PathBuf) -> Self {
        let homes = build.scratch.dir("homes");
        let build = build
            .with(format!("--base-images={}", homes.display()))
            .with(format!("--fuse-path={}", prefix.display()));
        Self { build, homes, prefix }
    }

    /// `obuilder image WORDS…` for the images here.
    fn image(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(binary::obuilder());
        command.arg("image").args(words).arg(format!("--base-images={}", self.homes.display()));
        process::output(&mut command).into()
    }

    /// `obuilder image create WORDS…` with a script of this text, not started yet.
    fn create(&self, words: &[&str], script: &str, arguments: &[&str]) -> Command {
        let file = self.build.scratch.path().join("make image.sh");
        fs::write(&file, format!("#!/bin/sh\nset -eu\n{script}\n")).unwrap();
        self.create_from(words, &file, arguments)
    }

    fn create_from(&self, words: &[&str], script: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary::obuilder());
        command.args(["image", "create"]).args(words).arg("--from-script").arg(script);
        command.arg(format!("--base-images={}", self.homes.display()));
        command.arg(format!("--uid={}", self.build.user.uid));
        command.arg(format!("--scoreboard={}", self.build.scoreboard.display()));
        command.arg(format!("--fuse-path={}", self.prefix.display())).arg("--").args(arguments);
        command
    }

    fn list(&self) -> String {
        self.image(&["list"]).done().stdout
    }

    /// What a step that begins with `image` prints.
    fn run(&self, image: &str, command: &str) -> String {
        let spec = format!("((from {image}) (run (shell \"{command}\")))");
        self.build.run(&spec).done().said().join("\n")
    }
}

fn done(mut command: Command) -> Ended {
    Ended::from(process::output(&mut command)).done()
}

#[test]
fn a_script_makes_an_image_at_the_prefix_of_the_steps() {
    if !can_brew() {
        return;
    }
    let images = Images::new();
    let script =
        "id -un > who; pwd > where; echo \"$1\" > \"$2/tool\"; echo 'A=b; export A' > .obuilder_profile.sh";
    let prefix = images.prefix.to_str().unwrap();
    let made = done(images.create(&["tools@1"], script, &["x y", prefix]));
    assert!(
        made.stdout.starts_with("tools@1 is ready: begin specs with (from tools@1)\n"),
        "{}",
        made.stdout
    );
    let user = images.build.user.name();
    let seen = images
        .run("tools", "cat who where; cat PREFIX/tool; echo $A; ls -A".replace("PREFIX", prefix).as_str());
    assert_eq!(seen, format!("{user}\n/home/obuilder\nx y\nb\n.obuilder_profile.sh\nlocal\nwhere\nwho"));
    // It is out of the reach of later steps, whose user it belongs to.
    let entered =
        User::new(images.build.user.uid).run(|| fs::read_dir(images.homes.join("tools@1/home")).map(drop));
    assert_eq!(entered.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    // One begins where another ends.
    done(images.create(&["more@1", "--from=tools@1"], "test -e who; touch more", &[]));
    assert_eq!(images.run("more", "ls"), "local\nmore\nwhere\nwho");
    assert_eq!(images.build.left_behind(), Vec::<String>::new());
}

#[test]
fn a_failed_stopped_or_killed_creation_leaves_the_old_image_in_place() {
    if !can_brew() {
        return;
    }
    let images = Images::new();
    done(images.create(&["tools@1"], "echo one > version", &[]));
    let failed = Ended::from(process::output(&mut images.create(&["tools@2"], "touch half; exit 7", &[])));
    let script = images.build.scratch.path().join("make image.sh");
    let said = format!("obuilder: {} failed with exit status 7; nothing was changed\n", script.display());
    assert_eq!((failed.code, failed.stderr), (Some(1), said));
    let bare = Ended::from(process::output(&mut images.create(&["tools@2"], "rm .obuilder_profile.sh", &[])));
    let said = format!(
        "obuilder: {} has left no base image: ~/.obuilder_profile.sh is gone; nothing was changed\n",
        script.display()
    );
    assert_eq!((bare.code, bare.stderr), (Some(1), said));

    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let endless = format!("touch {}/begun; exec sleep 1000", images.prefix.display());
        let mut command = images.create(&["tools@2"], &endless, &[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let local = format!(".obuilder-image-{}-tools@2/version/home/local/begun", child.id());
        assert!(eventually(|| images.homes.join(&local).exists()), "the script does not begin");
        let status = process::stop(&mut child, signal);
        assert!(!status.success());
        assert!(eventually(|| processes_of(images.build.user.uid).is_empty()), "a process lives on");
    }
    assert_eq!(images.list(), "* tools@1\n");
    done(images.create(&["tools@2"], "cat version > /dev/null && exit 1; echo two > version", &[]));
    assert_eq!(names(&images.homes), ["tools", "tools@1", "tools@2"]);
    assert_eq!(images.build.left_behind(), Vec::<String>::new());
}

#[test]
fn versions_are_listed_shown_chosen_and_removed() {
    if !can_brew() {
        return;
    }
    let images = Images::new();
    done(images.create(&["tools"], "true", &[]));
    done(images.create(&["tools"], "true", &[]));
    let listed = images.list();
    let lines: Vec<&str> = listed.lines().collect();
    let (first, second) = (lines[0].trim().to_owned(), lines[1].trim_start_matches("* ").to_owned());
    assert_eq!(second, format!("{first}.2"), "{listed}");
    assert!(lines[0].starts_with("  tools@2") && lines[1].starts_with("* "), "{listed}");
    images.image(&["use", &first]).done();
    let shown = images.image(&["show", "tools"]).done().stdout;
    assert!(shown.starts_with(&format!("image      {first}, which (from tools) means\n")), "{shown}");
    let json = images.image(&["show", &second, "--json"]).done().stdout;
    assert!(json.contains("\"current\":false") && json.contains("\"name\":\"tools\""), "{json}");
    let meant = images.image(&["rm", &first]);
    let said = format!(
        "obuilder: the image {first} is what (from tools) means; let it mean another version first, with 'obuilder image use', or remove them all with 'obuilder image rm tools'\n"
    );
    assert_eq!((meant.code, meant.stderr), (Some(3), said));
    assert_eq!(images.image(&["rm", &second]).done().stdout, format!("removed {second}\n"));
    assert_eq!(images.image(&["rm", "tools"]).done().stdout, format!("removed {first}\n"));
    assert_eq!(names(&images.homes), Vec::<String>::new());
}

#[test]
fn what_is_exported_is_imported_the_same() {
    if !can_brew() {
        return;
    }
    let images = Images::new();
    let script = "mkdir -p local/bin; echo '#!/bin/sh' > local/bin/a; ln local/bin/a local/bin/b; ln -s a local/bin/c; chmod 0751 local/bin/a";
    done(images.create(&["tools@1"], script, &[]));
    let place = images.build.scratch.path().join("out dir");
    let (tar, layout) = (place.with_extension("tar"), place.with_extension("oci"));
    let (tar, layout) = (tar.to_str().unwrap(), layout.to_str().unwrap());
    images.image(&["export", "tools", tar]).done();
    images.image(&["export", "--oci", "tools", layout]).done();
    let again = images.image(&["export", "tools", tar]);
    let said = format!("obuilder: {tar} is there already; name a file that is not, or remove it\n");
    assert_eq!((again.code, again.stderr), (Some(3), said));
    images.image(&["import", "from-tar@1", tar]).done();
    images.image(&["import", "--version=1", "from-oci", layout]).done();
    let look = |image: &str| {
        let mut find = Command::new("find");
        find.current_dir(images.homes.join(image).join("home")).args([
            ".",
            "-printf",
            "%p %M %U %G %n %l %Ts\n",
        ]);
        let text = done(find).stdout;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(look("from-tar@1"), look("tools@1"));
    assert_eq!(look("from-oci@1"), look("tools@1"));
    assert_eq!(images.run("from-oci", "./local/bin/b && stat -c %U local/bin/c"), images.build.user.name());
    let nothing = images.image(&["import", "x", "/no/such"]);
    assert_eq!(
        (nothing.code, &*nothing.stderr),
        (Some(3), "obuilder: cannot read /no/such: no such file or directory\n")
    );
    fs::write(place.with_extension("bad"), "not a tar archive, but longer than one of its blocks".repeat(20))
        .unwrap();
    let damaged = images.image(&["import", "x", place.with_extension("bad").to_str().unwrap()]);
    assert_eq!(damaged.code, Some(3), "{}", damaged.stderr);
    assert_eq!(
        names(&images.homes),
        ["from-oci", "from-oci@1", "from-tar", "from-tar@1", "tools", "tools@1"]
    );
}

#[test]
fn an_image_that_is_being_copied_is_not_removed() {
    if !can_brew() {
        return;
    }
    let images = Images::new();
    done(images.create(&["tools@1"], "true", &[]));
    // As a build that copies it has it.
    let held = fs::File::open(images.homes.join("tools@1/home")).unwrap();
    held.lock_shared().unwrap();
    let refused = images.image(&["rm", "tools"]);
    let said = "obuilder: the image tools@1 is in use by a build; try again when that is done\n";
    assert_eq!((refused.code, &*refused.stderr), (Some(3), said));
    drop(held);
    images.image(&["rm", "tools"]).done();
}

#[test]
fn wrong_names_and_missing_things_are_told_in_one_line() {
    if !can_brew() {
        return;
    }
    let images = Images::new();
    let refused = |words: &[&str], code: i32, said: &str| {
        let ended = images.image(words);
        let said = said.replace("HOMES", images.homes.to_str().unwrap());
        assert_eq!(
            (ended.code, ended.stderr.lines().next().unwrap_or_default()),
            (Some(code), &*said),
            "{words:?}"
        );
    };
    let none = "obuilder: there is no image x in HOMES; 'obuilder image list' shows those there are";
    refused(&["show", "x"], 3, none);
    refused(&["rm", "x"], 3, none);
    refused(&["export", "x", "/tmp/x"], 3, none);
    refused(&["use", "x@1"], 3, &none.replace("image x", "image x@1"));
    refused(&["use", "x"], 2, "obuilder: x has no version");
    let path = "obuilder: invalid value '../x' for '<NAME[@VERSION]>': \"../x\" is no image: a name and a version must not begin with '.' or '-'";
    refused(&["show", "../x"], 2, path);
    refused(
        &["create", "x", "--from-script=/no such"],
        2,
        "obuilder: cannot read the script: /no such: No such file or directory",
    );
    refused(
        &["import", "x@1", "--version=2", "/tmp"],
        2,
        "obuilder: the version is given twice; leave out --version",
    );
    symlink("/etc", images.homes.join("link")).unwrap();
    fs::create_dir(images.homes.join("bare")).unwrap();
    let way =
        "obuilder: HOMES/NAME is no base image, and in the way; move it away, or give the image another name";
    for name in ["link", "bare"] {
        refused(&["import", name, "/etc/passwd"], 3, &way.replace("NAME", name));
    }
    assert_eq!(images.list(), "");
}

#[test]
fn homebrew_is_installed_by_one_command_and_used_by_a_spec() {
    if !can_brew() {
        return;
    }
    // Its installer knows this prefix only.
    let brewery = Brewery::new();
    let mut images = Images::at(Build::new(), brewery.world.point.clone());
    images.build.scoreboard.clone_from(&brewery.world.scoreboard);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../homebrew-scripts/install-homebrew.sh");
    let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
    let arguments = [
        option("prefix", &images.prefix),
        option("remote", &brewery.remote("brew")),
        option("core-remote", &brewery.remote("core")),
        option("installer", &brewery.remote("installer.sh")),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let made = done(images.create_from(&["macos-homebrew@2026-11"], &script, &arguments));
    assert!(made.stdout.contains("install-homebrew.sh: done: Homebrew"), "{}", made.stdout);
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../example.homebrew.macos.spec");
    let ended = images.build.run_file(&spec).done();
    assert!(ended.stdout.contains(&format!("\n{}\n", images.prefix.display())), "{}", ended.stdout);
}
