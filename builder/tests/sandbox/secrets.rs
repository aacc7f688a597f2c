//! Secrets are there for the step alone, and leave no trace.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use obuilder::sandbox::Status;

use crate::fixture::{Fixture, fixture, names_in};

fn with_secrets(f: &Fixture, targets: &[&str], script: &str) -> (String, Status) {
    let mut command = f.command(script);
    command.secrets =
        targets.iter().map(|t| ((*t).into(), format!("secret of {t}\n").into_bytes())).collect();
    let (output, status) = f.run(&command);
    (output, status.unwrap())
}

#[test]
fn a_secret_is_the_users_to_read_and_nothing_of_it_stays() {
    let Some(f) = fixture(61_740) else { return };
    let target = f.home.join(".config/tool/token");
    let target = target.to_str().unwrap();
    let (output, status) = with_secrets(
        &f,
        &[target],
        &format!(
            "cat {target}; stat -c '%U %a' {target}; (echo x > {target}) 2>&1 | grep -c denied; mv .config moved"
        ),
    );
    assert_eq!(output, format!("secret of {target}\nobuilder61740 400\n1\n"));
    assert_eq!(status, Status::Exited(0));
    // The step moved the directory while the secret was in it.
    assert_eq!(names_in(&f.rootfs), [".obuilder_profile.sh", "local", "moved"]);
    assert_eq!(names_in(&f.rootfs.join("moved")), Vec::<String>::new());
    f.assert_nothing_is_left();
}

#[test]
fn a_directory_that_the_step_filled_stays_without_the_secret() {
    let Some(f) = fixture(61_741) else { return };
    let target = f.home.join("conf/token");
    with_secrets(&f, &[target.to_str().unwrap()], "echo kept > conf/other");
    assert_eq!(names_in(&f.rootfs.join("conf")), ["other"]);
}

#[test]
fn a_secret_covers_a_file_that_is_there_and_gives_it_back() {
    let Some(f) = fixture(61_742) else { return };
    f.sh("echo mine > token");
    let target = f.home.join("token");
    let (output, _) = with_secrets(&f, &[target.to_str().unwrap()], "cat token");
    assert_eq!(output, format!("secret of {}\n", target.display()));
    assert_eq!(fs::read_to_string(f.rootfs.join("token")).unwrap(), "mine\n");
}

#[test]
fn a_secret_at_a_link_covers_the_file_it_leads_to_and_gives_it_back() {
    let Some(f) = fixture(61_748) else { return };
    f.sh("echo mine > file; ln -s file token");
    let target = f.home.join("token");
    let (output, status) = with_secrets(&f, &[target.to_str().unwrap()], "cat token");
    assert_eq!((output, status), (format!("secret of {}\n", target.display()), Status::Exited(0)));
    assert_eq!(fs::read_to_string(f.rootfs.join("file")).unwrap(), "mine\n");
    f.assert_nothing_is_left();
}

#[test]
fn secrets_outside_the_home_touch_nothing_of_the_machine() {
    let Some(f) = fixture(61_743) else { return };
    let targets = ["/run/obuilder-test/a", "/obuilder-test/deep/b", "/etc/obuilder-test", "/tmp/c"];
    let home = f.home.join("d");
    let all: Vec<&str> = targets.into_iter().chain([home.to_str().unwrap()]).collect();
    let script = format!(
        "cat {}; stat -c %a /run /etc /; test -r /etc/passwd -a -e /proc/self -a -e /usr/bin/env && pwd; \
         test ! -e {}/state && touch made",
        all.join(" "),
        f.dir.path().display()
    );
    let (output, status) = with_secrets(&f, &all, &script);
    let contents: String = all.iter().map(|t| format!("secret of {t}\n")).collect();
    assert_eq!(output, format!("{contents}755\n755\n755\n{}\n", f.home.display()));
    assert_eq!(status, Status::Exited(0));
    for target in targets {
        assert!(!Path::new(target).exists(), "{target}");
    }
    assert!(!Path::new("/obuilder-test").exists() && !Path::new("/run/obuilder-test").exists());
    assert!(f.rootfs.join("made").exists() && !f.rootfs.join("d").exists());
    f.assert_nothing_is_left();
}

#[test]
fn a_link_in_the_home_does_not_make_root_write_elsewhere() {
    let Some(f) = fixture(61_744) else { return };
    let outside = f.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc", f.rootfs.join("link")).unwrap();
    let target = f.home.join("link/obuilder-test-link");
    let (output, status) =
        with_secrets(&f, &[target.to_str().unwrap()], "cat link/obuilder-test-link; stat -f -c %T /etc");
    assert_eq!((output, status), (format!("secret of {}\ntmpfs\n", target.display()), Status::Exited(0)));
    assert!(!Path::new("/etc/obuilder-test-link").exists());
}

#[test]
fn a_secret_that_cannot_be_shown_is_named() {
    let Some(f) = fixture(61_745) else { return };
    let mut command = f.command("true");
    for (target, reason) in
        [("relative", "it is not the absolute path of a file"), ("/etc", "File exists (os error 17)")]
    {
        command.secrets = vec![(target.into(), Vec::new())];
        let error = f.run(&command).1.unwrap_err().to_string();
        assert_eq!(error, format!("cannot show a secret at {target}: {reason}"));
    }
    f.assert_nothing_is_left();
}
