//! What a step finds around it.
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};

use obuilder::sandbox::Status;

use crate::fixture::fixture;

#[test]
fn a_step_is_a_login_of_the_build_user_in_its_home() {
    let Some(f) = fixture(61_710) else { return };
    let home = f.home.display();
    assert_eq!(
        f.sh("id -un; id -Gn; pwd; umask; env | grep -v ^_= | sort"),
        format!(
            "obuilder61710\nobuilder\n{home}\n0022\nHOME={home}\nLOGNAME=obuilder61710\n\
             PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games\nPWD={home}\nSHELL=/bin/bash\n\
             SHLVL=0\nTMPDIR=/tmp\nUSER=obuilder61710\n"
        )
    );
}

#[test]
fn the_specs_variables_and_working_directory_hold() {
    let Some(f) = fixture(61_711) else { return };
    let mut command = f.command("pwd; printf %s \"$A\"; stat -c ' %U %a' .");
    command.workdir = "/src/a b".into();
    command.env = vec![("A".into(), "x'y\nz".into())];
    let (output, status) = f.run(&command);
    let home = f.home.display();
    assert_eq!(output, format!("{home}/src/a b\nx'y\nz obuilder61711 755\n"));
    assert_eq!(status.unwrap(), Status::Exited(0));
    assert!(f.rootfs.join("src/a b").is_dir());
}

#[test]
fn a_step_has_no_input_no_terminal_and_no_descriptors_of_the_builders() {
    let Some(f) = fixture(61_712) else { return };
    // A descriptor that the builder was started with, as a careless shell would leave it.
    let stray = nix::unistd::dup(std::io::stdin()).unwrap();
    let output =
        f.sh("cat; ls /proc/self/fd | wc -l; (: </dev/tty) 2>/dev/null || cut -d' ' -f6 /proc/self/stat");
    drop(stray);
    // Standard streams and the directory being listed; the session is that of the namespace's init.
    assert_eq!(output, "4\n1\n");
}

#[test]
#[allow(unsafe_code)]
fn signals_that_the_builder_ignores_are_not_ignored_by_its_steps() {
    let Some(f) = fixture(61_731) else { return };
    let signals = [libc::SIGUSR2, libc::SIGRTMIN(), libc::SIGRTMAX()];
    for signal in signals {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let output = f.sh("sed -n 's/^SigIgn:.//p' /proc/self/status");
    let ignored = u64::from_str_radix(output.trim(), 16).unwrap();
    assert!(signals.iter().all(|signal| ignored & (1 << (signal - 1)) == 0), "{output}");
}

#[test]
fn output_and_errors_come_in_the_order_they_were_written() {
    let Some(f) = fixture(61_713) else { return };
    let script = "for i in 1 2 3 4 5 6 7 8; do echo o$i; echo e$i >&2; done";
    let expected: String = (1..9).map(|i| format!("o{i}\ne{i}\n")).collect();
    assert_eq!(f.sh(script), expected);
}

#[test]
fn the_prefix_is_the_homes_local_and_nobody_elses() {
    let Some(f) = fixture(61_714) else { return };
    let prefix = f.prefix.display();
    f.sh(&format!("echo hi > {prefix}/bin/x; cmp ~/local/bin/x {prefix}/bin/x; cd {prefix}/bin; /bin/pwd"));
    assert_eq!(fs::read_to_string(f.rootfs.join("local/bin/x")).unwrap(), "hi\n");
    assert_eq!(fs::metadata(f.rootfs.join("local/bin/x")).unwrap().uid(), f.uid);
    assert_eq!(fs::read_dir(&f.prefix).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&f.home).unwrap().count(), 0);
    f.assert_nothing_is_left();
}

#[test]
fn temporary_directories_are_the_steps_own_and_on_disk() {
    let Some(f) = fixture(61_715) else { return };
    let name = format!("obuilder-test-{}", f.uid);
    let output = f.sh(&format!(
        "for d in /tmp /var/tmp /dev/shm; do ls -A $d | grep -v {}; touch $d/{name}; stat -c %a $d; done; \
         stat -f -c %T /tmp",
        f.dir.path().file_name().unwrap().display()
    ));
    let disk = std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(&f.state).output().unwrap();
    let disk = String::from_utf8(disk.stdout).unwrap();
    assert_eq!(output, format!("1777\n1777\n1777\n{disk}"));
    for dir in ["/tmp", "/var/tmp", "/dev/shm"] {
        assert!(!std::path::Path::new(dir).join(&name).exists(), "{dir}");
    }
    f.assert_nothing_is_left();
}

#[test]
fn a_step_sees_its_own_processes_alone_and_is_not_process_1() {
    let Some(f) = fixture(61_716) else { return };
    let output = f.sh("cd /proc; for p in [0-9]*; do stat -c %U $p; done 2>/dev/null | sort -u; echo $$");
    assert_eq!(output, "obuilder61716\nroot\n2\n");
    assert_eq!(f.sh("kill -9 1 2>/dev/null || echo refused"), "refused\n");
    let ours = fs::read_link("/proc/self/ns/ipc").unwrap();
    assert_ne!(f.sh("readlink /proc/self/ns/ipc").trim(), ours.to_str().unwrap());
}

#[test]
fn a_step_cannot_become_another_user() {
    let Some(f) = fixture(61_717) else { return };
    assert_eq!(
        f.sh("grep NoNewPrivs /proc/self/status; cat /proc/self/status | grep CapEff"),
        "NoNewPrivs:\t1\nCapEff:\t0000000000000000\n"
    );
}

#[test]
fn a_tree_of_another_build_user_is_given_to_this_one() {
    let Some(f) = fixture(61_718) else { return };
    let (_, group) = obuilder::sandbox::Sandbox::owner(&f.sandbox, &obuilder::spec::User::default()).unwrap();
    f.sh("mkdir d; echo x > d/file");
    for path in ["", "local", "local/bin", ".obuilder_profile.sh", "d", "d/file"] {
        chown(f.rootfs.join(path), Some(61_799), Some(group)).unwrap();
    }
    assert_eq!(f.sh("echo y >> d/file; stat -c %U . d d/file"), "obuilder61718\n".repeat(3));
}

#[test]
fn a_prefix_that_would_lead_out_of_the_home_is_refused() {
    let Some(f) = fixture(61_719) else { return };
    fs::remove_dir_all(f.rootfs.join("local")).unwrap();
    let (_, missing) = f.run(&f.command("true"));
    symlink("/etc", f.rootfs.join("local")).unwrap();
    let (_, link) = f.run(&f.command("true"));
    let local = f.rootfs.join("local");
    assert_eq!(
        missing.unwrap_err().to_string(),
        format!("cannot open {}: No such file or directory", local.display())
    );
    assert_eq!(link.unwrap_err().to_string(), format!("cannot open {}: Not a directory", local.display()));
    f.assert_nothing_is_left();
}
