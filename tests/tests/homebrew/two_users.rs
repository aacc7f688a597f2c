//! Two users have a Homebrew each, at one prefix, through one mount, at the same time.
use std::fs;
use std::os::unix::fs::MetadataExt;

use obuilder_tests::build::names;
use obuilder_tests::{User, process};

use crate::brewery::{Brewery, all_at_once, script};
use crate::can_brew;

/// What the formula's programs print at `prefix`: a library found by its path, a loader that lies in the prefix, a
/// script run by a script.
fn printed(prefix: &std::path::Path) -> String {
    let prefix = prefix.display();
    format!(
        "{prefix}\n{prefix}\ninterpreted by {prefix}/opt/hello/bin/speak: a b\nmade at {prefix}/Cellar/hello/1.0\n"
    )
}

const USE: &str = "hello; hello-again; spoken a b; cat \"$0/share/hello/note\"";

#[test]
fn both_are_installed_at_once_and_a_bottle_of_one_is_poured_by_the_other() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(2);
    let (first, second) = (brewery.user(0), brewery.user(1));
    let installer = brewery.remote("installer.sh");
    all_at_once(vec![brewery.init(first, &installer), brewery.init(second, &installer)]);
    for user in [first, second] {
        assert_eq!(fs::metadata(user.home.join("local/Cellar")).unwrap().uid(), user.uid);
        brewery.publish(user);
    }
    let built =
        brewery.in_view(first, "brew install hello; cd \"$HOMEBREW_BOTTLES\"; brew bottle hello").done();
    assert!(built.stdout.contains("==> Building hello"), "{}", built.stdout);
    let poured = brewery.in_view(second, "brew install hello").done();
    assert!(poured.stdout.contains("==> Pouring hello-1.0.tar"), "{}", poured.stdout);
    let links = |user: &crate::brewery::Brewer| {
        let keg = user.home.join("local/Cellar/hello/1.0");
        let one = fs::metadata(keg.join("bin/hello")).unwrap();
        let note = fs::metadata(keg.join("share/hello/note")).unwrap();
        (one.nlink(), one.ino() == fs::metadata(keg.join("bin/hello-again")).unwrap().ino(), note.mtime())
    };
    assert_eq!([links(first), links(second)], [(2, true, 981_173_106); 2]);
    let both = vec![brewery.enter(first, USE), brewery.enter(second, USE)];
    for ended in all_at_once(both) {
        assert_eq!(ended.stdout, printed(brewery.prefix()));
    }
}

#[test]
fn both_work_at_once_through_the_bare_mount() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(2);
    for index in 0..2 {
        brewery.install(brewery.user(index), "hello").done();
        let user = brewery.user(index);
        brewery.publish(user);
    }
    let prefix = brewery.prefix().to_str().unwrap();
    // Each keeps what only it has, and finds nothing of the other's.
    let line = "PATH=$1/bin:$PATH; for i in 1 2 3 4 5; do brew doctor; echo $2 > $1/etc/own; hello; hello-again; \
                spoken a b; cat $1/share/hello/note; test $(cat $1/etc/own) = $2; done";
    let work = |index: usize| {
        let brewer = brewery.user(index);
        let gid = fs::metadata(&brewer.home).unwrap().gid();
        let user = User { uid: brewer.uid, gid, groups: Vec::new() };
        let ended = user.run(|| {
            let mut command = std::process::Command::new("sh");
            command.args(["-ec", line, "sh", prefix, &brewer.uid.to_string()]);
            command.current_dir("/").env("HOME", &brewer.home).env("USER", &brewer.name);
            obuilder_tests::build::Ended::from(process::output(&mut command))
        });
        assert_eq!(ended.done().stdout, printed(brewery.prefix()).repeat(5));
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(1));
        work(0);
        other.join().unwrap();
    });
}

#[test]
fn a_second_run_installs_what_is_missing_and_leaves_nothing_on_the_scoreboard() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    brewery.install(user, "").done();
    let profile = fs::read_to_string(user.home.join(".obuilder_profile.sh")).unwrap();
    let prefix = brewery.prefix().display();
    let wanted = format!(
        "# Homebrew\nexport PATH=\"{prefix}/bin:{prefix}/sbin:$PATH\"\nexport HOMEBREW_NO_AUTO_UPDATE=1\n\
         export HOMEBREW_NO_ANALYTICS=1\nexport HOMEBREW_NO_INSTALL_CLEANUP=1\n"
    );
    assert_eq!(profile, wanted);
    let again = brewery.install(user, "hello opam").done();
    assert!(again.stdout.contains("is at") && again.stdout.contains("==> Building opam"), "{}", again.stdout);
    assert_eq!(fs::read_to_string(user.home.join(".obuilder_profile.sh")).unwrap(), profile);
    assert_eq!(names(&brewery.world.scoreboard), Vec::<String>::new());
}

#[test]
fn ocaml_is_added_and_again_with_nothing_changed() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    let prefix = format!("--prefix={}", brewery.prefix().display());
    let refused = script("init-ocaml.sh", &[&user.name, &prefix]);
    let said = format!(
        "install-ocaml.sh: there is no Homebrew at {}; install it first: init-homebrew.sh NAME\n",
        brewery.prefix().display()
    );
    assert_eq!((refused.code, refused.stderr), (Some(3), said));
    brewery.install(user, "").done();
    let add = || script("init-ocaml.sh", &[&user.name, &prefix, "--ocaml=4", "--repository=/srv"]).done();
    let last = "init-ocaml.sh: NAME has OCaml: begin specs with (from NAME)".replace("NAME", &user.name);
    assert!(add().stdout.ends_with(&format!("done: opam 2.3.0 with ocaml-system\n{last}\n")));
    let profile = fs::read_to_string(user.home.join(".obuilder_profile.sh")).unwrap();
    add();
    assert_eq!(fs::read_to_string(user.home.join(".obuilder_profile.sh")).unwrap(), profile);
    brewery.publish(user);
    let shown =
        brewery.in_view(user, ". ~/.obuilder_profile.sh; ocamlc -version; opam --version; echo $OPAMYES");
    assert_eq!(shown.done().stdout, "4.14.2\n2.3.0\n1\n");
}
