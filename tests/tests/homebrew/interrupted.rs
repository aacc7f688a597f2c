//! Installations that do not come to their end: nothing half-made is taken for a base image, and the next run goes on.
use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;
use obuilder_tests::Build;
use obuilder_tests::build::{Ended, names, processes_of};
use obuilder_tests::process::{self, eventually};

use crate::brewery::{Brewery, script, script_command, write};
use crate::can_brew;

#[test]
fn a_killed_installation_is_no_base_image_and_the_next_run_finishes_it() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    let endless = brewery.remote("endless.sh");
    let prefix = brewery.prefix().display();
    write(&endless, &format!("mkdir -p {prefix}/Cellar && touch {prefix}/begun && exec sleep 1000\n"));
    let mut child = brewery.init(user, &endless).stdout(Stdio::null()).spawn().unwrap();
    assert!(eventually(|| user.home.join("local/begun").exists()), "the installer does not begin");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(processes_of(user.uid), Vec::<String>::new(), "nothing is left to clear away");

    let build = Build::new().with(format!("--base-images={}", brewery.homes.display())).with("--no-fuse");
    let refused = build.run(&format!("((from {}))", user.name));
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    let why = format!(
        "Build step failed: {} is not a base image: .obuilder_profile.sh.unfinished says that it is being made, or was left half-made; wait, or run init-homebrew.sh again\n",
        user.home.display()
    );
    assert_eq!(refused.stderr, why);

    brewery.install(user, "").done();
    assert_eq!(processes_of(user.uid), Vec::<String>::new());
    // The link of the killed run was there already.
    assert_eq!(names(&brewery.world.scoreboard), [user.uid.to_string()]);
    build.run(&format!("((from {}))", user.name)).done();
}

#[test]
fn a_stopped_installation_leaves_no_process_and_no_link() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    let endless = brewery.remote("endless.sh");
    write(&endless, &format!("touch {}/begun && exec sleep 1000\n", brewery.prefix().display()));
    let mut child = brewery.init(user, &endless).stdout(Stdio::null()).spawn().unwrap();
    assert!(eventually(|| user.home.join("local/begun").exists()), "the installer does not begin");

    let second = brewery.install(user, "");
    let busy = format!(
        "init-homebrew.sh: process {} is at work for {}; wait for it, or end it\n",
        child.id(),
        user.name
    );
    assert_eq!((second.code, second.stderr), (Some(3), busy));

    assert_eq!(process::stop(&mut child, Signal::SIGTERM).code(), Some(130));
    assert_eq!(processes_of(user.uid), Vec::<String>::new());
    assert_eq!(names(&brewery.world.scoreboard), Vec::<String>::new());
}

#[test]
fn what_is_not_there_is_named_before_anything_is_installed() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    let place = brewery.world.scratch.path().display();
    let init = |options: &[&str]| {
        let mut command = script_command("init-homebrew.sh");
        Ended::from(process::output(command.arg(&user.name).args(options)))
    };
    let prefix = &*format!("--prefix={place}/prefix");
    let said = |ended: Ended| (ended.code, ended.stderr.lines().last().unwrap_or_default().to_owned());
    let refused = |options: &[&str], why: &str| {
        assert_eq!(said(init(options)), (Some(3), why.replace("PLACE", &place.to_string())));
    };
    let other = &*format!("--scoreboard={place}/fallback");
    refused(
        &[prefix, other],
        "init-homebrew.sh: the obuilderfs at PLACE/prefix is for the scoreboard PLACE/scoreboard, not for PLACE/fallback; unmount it, or use its scoreboard",
    );
    refused(
        &[&format!("--prefix={place}/fallback")],
        "init-homebrew.sh: no obuilderfs is mounted at PLACE/fallback; mount it: obuilderfs SCOREBOARD PLACE/fallback (it said: obuilderfs: PLACE/fallback: no obuilderfs is mounted there)",
    );
    let missing = format!("--remote={place}/no such");
    let why = format!("install-homebrew.sh: --remote=PLACE/no such: {} finds nothing there", user.name);
    refused(&[prefix, &missing], &why);
    let no_git = format!("--core-remote={place}/homes");
    let why = "install-homebrew.sh: --core-remote=file://PLACE/homes cannot be read (git's reason is above)";
    refused(&[prefix, &no_git], why);
    let nowhere = "--installer=file:///no/such/installer";
    let why =
        "install-homebrew.sh: --installer=file:///no/such/installer cannot be read (curl's exit status 37)";
    refused(&[prefix, nowhere], why);
    assert_eq!(names(&user.home.join("local")), Vec::<String>::new());
    assert!(user.home.join(".obuilder_profile.sh").exists());
}

#[test]
fn an_installer_for_another_prefix_and_one_that_fails_are_told() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    let said = |text: &str| {
        let installer = brewery.remote("some.sh");
        write(&installer, text);
        let ended = Ended::from(process::output(&mut brewery.init(user, &installer)));
        assert_eq!(ended.code, Some(1));
        ended.stderr.lines().last().unwrap_or_default().to_owned()
    };
    let elsewhere = format!(
        "install-homebrew.sh: Homebrew's installer has put no bin/brew into {}; give the prefix it knows, and mount there",
        brewery.prefix().display()
    );
    assert_eq!(said("true\n"), elsewhere);
    let failed = "install-homebrew.sh: Homebrew's installer failed with exit status 5 (what it said is above); run this again when that is mended";
    assert_eq!(said("exit 5\n"), failed);
}

#[test]
fn a_full_disk_is_told_and_the_home_is_no_base_image_until_there_is_room() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    let mount =
        "mount -t tmpfs -o size=100k,mode=755 none \"$1\" && mkdir \"$1/local\" && chown -R \"$2:$2\" \"$1\"";
    let mut small = std::process::Command::new("sh");
    Ended::from(process::output(small.args(["-ec", mount, "sh"]).arg(&user.home).arg(user.uid.to_string())))
        .done();
    let ended = brewery.install(user, "");
    nix::mount::umount(&user.home).unwrap();
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let last = format!(
        "install-homebrew.sh: Homebrew's installer failed: the disk of {} is full; make room, then run this again",
        user.home.display()
    );
    assert_eq!(ended.stderr.lines().last(), Some(&*last), "{}", ended.stderr);
    assert!(fs::exists(user.home.join(".obuilder_profile.sh")).unwrap());
    script("cleanup.sh", &[&user.name, &format!("--scoreboard={}", brewery.world.scoreboard.display())])
        .done();
}
