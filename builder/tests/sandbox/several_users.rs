//! Several users: as many steps at once.
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command as Process};

use obuilder::host::{Host, SystemHost};
use obuilder::sandbox::{Cancel, Status, View, pool};
use obuilder::spec::User;

use crate::fixture::{account_of, block_on, fixture, names_in};

#[test]
fn two_steps_run_at_once_as_two_users_and_a_third_waits() {
    let (Some(mut f), Some(_second)) = (fixture(61_770), account_of(61_771)) else { return };
    f.with_uids("61770-61771");
    let other = f.dir.path().join("other");
    fs::create_dir_all(other.join("local")).unwrap();
    fs::write(other.join(".obuilder_profile.sh"), "").unwrap();
    let waits = f.command("id -u; exec sleep 1000");
    let mut quick = f.command("id -u");
    quick.rootfs.clone_from(&other);
    let mut third = f.command("id -u");
    third.rootfs = f.dir.path().join("no-such-tree");
    let (cancel, never) = (Cancel::default(), Cancel::default());
    let runs = async {
        let first = f.start(&waits, &cancel);
        let others = async {
            let second = f.start(&quick, &never).await;
            // The first still runs, so this one had to have the second's user.
            let third = f.start(&third, &never).await;
            cancel.cancel();
            (second, third)
        };
        tokio::join!(first, others)
    };
    let ((first, stopped), (second, third)) = block_on(runs);
    assert_eq!((first.as_str(), second.0.as_str()), ("61770\n", "61771\n"));
    assert!(stopped.is_err() && third.1.is_err());
    assert_eq!(second.1.unwrap(), Status::Exited(0));
    f.assert_nothing_is_left();
}

#[test]
fn results_belong_to_the_first_user_whoever_makes_them() {
    use obuilder::sandbox::Sandbox;
    let (Some(mut f), Some(_second)) = (fixture(61_772), account_of(61_773)) else { return };
    f.with_uids("61772-61773");
    assert_eq!(f.sandbox.owner(&User::default()).unwrap().0, 61_772);
}

#[test]
fn a_uid_that_is_not_to_be_had_is_passed_over() {
    let Some(mut f) = fixture(61_774) else { return };
    f.with_uids("61774");
    let foreign =
        Process::new("useradd").args(["--no-create-home", "--uid", "61775", "foreign61775"]).output();
    assert!(foreign.unwrap().status.success());
    let Some(_third) = account_of(61_776) else { return };
    f.with_uids("61775-61776");
    chown(&f.rootfs, Some(0), Some(0)).unwrap();
    let told = f.sh("id -u");
    let _ = Process::new("userdel").arg("foreign61775").output();
    assert_eq!(told, "61776\n");
}

#[test]
fn what_a_killed_builder_left_of_any_user_is_cleared_away_by_the_next() {
    let (Some(mut f), Some(_killed)) = (fixture(61_777), account_of(61_778)) else { return };
    pool::account(&SystemHost::default(), 61_778, &f.home).unwrap();
    let debris = f.state.join("61778/tmp/debris");
    fs::create_dir_all(debris.parent().unwrap()).unwrap();
    fs::write(&debris, "x").unwrap();
    fs::create_dir(f.state.join("not-a-uid")).unwrap();
    let mut stray = sleeping(61_778);
    let scoreboard = f.dir.path().join("scoreboard");
    fs::create_dir(&scoreboard).unwrap();
    for name in ["61778", ".61778.999", "61779", ".61779.999"] {
        std::os::unix::fs::symlink("/nowhere", scoreboard.join(name)).unwrap();
    }
    let prefix = f.prefix.clone();
    f.configure(View::Obuilderfs { prefix, scoreboard: scoreboard.clone(), fallback: None });
    assert_eq!(names_in(&scoreboard), [".61779.999", "61779"]);
    assert!(!stray.wait().unwrap().success());
    assert_eq!(SystemHost::default().processes_of(61_778).unwrap(), []);
    assert_eq!(names_in(&f.state), ["not-a-uid"]);
}

#[test]
fn processes_of_a_uid_without_an_account_are_not_killed_and_no_step_runs_as_it() {
    let (Some(mut f), Some(_next)) = (fixture(61_780), account_of(61_782)) else { return };
    fs::create_dir_all(f.state.join("61781/tmp")).unwrap();
    let mut foreign = sleeping(61_781);
    f.with_uids("61781-61782");
    chown(&f.rootfs, Some(0), Some(0)).unwrap();
    let told = f.sh("id -u");
    let lives = foreign.try_wait().unwrap().is_none();
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    assert_eq!(told, "61782\n");
    assert!(lives, "it was taken for a step's");
    assert_eq!(names_in(&f.state), Vec::<String>::new());
}

fn sleeping(uid: u32) -> Child {
    Process::new("sleep").arg("1000").uid(uid).current_dir(Path::new("/")).spawn().unwrap()
}
