//! mount(8) and umount(8), as from `/etc/fstab`: through `mount.fuse.obuilderfs`, and through libfuse's `mount.fuse`.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use obuilder_tests::{Need, World, binary, mountinfo, process, require};

/// A world in which mount(8) finds obuilderfs. What is mounted is mounted in the namespace of one script.
struct Machine {
    world: World,
    /// In place of `/sbin`, where mount(8) looks for helpers and, among other places, these for programs.
    sbin: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let world = World::new();
        let sbin = world.scratch.dir("sbin");
        fs::write(world.fallback.join("of-the-fallback"), "x").unwrap();
        Self { world, sbin }
    }

    /// Where `mount.fuse.obuilderfs` is obuilderfs.
    fn with_helper() -> Self {
        let machine = Self::new();
        symlink(binary::obuilderfs(), machine.sbin.join("mount.fuse.obuilderfs")).unwrap();
        machine
    }

    /// Where there is only libfuse's helper, which starts the program `obuilderfs`.
    fn with_libfuse() -> Self {
        let machine = Self::new();
        fs::copy("/sbin/mount.fuse3", machine.sbin.join("mount.fuse")).unwrap();
        symlink(binary::obuilderfs(), machine.sbin.join("obuilderfs")).unwrap();
        machine
    }

    /// Runs `script`; in it `$B` is the scoreboard, `$M` the mount point, `$F` the fallback.
    fn run(&self, script: &str) -> Output {
        let World { scoreboard, point, fallback, .. } = &self.world;
        let output = process::output(
            Command::new("unshare")
                .args(["--mount", "sh", "-ec"])
                .arg(format!("mount --bind '{}' /sbin\n{script}", self.sbin.display()))
                .envs([("B", scoreboard), ("M", point), ("F", fallback)]),
        );
        assert!(mountinfo::below(point).is_empty(), "the machine sees it");
        output
    }

    /// Runs `script`, which must succeed, and returns what it printed.
    #[track_caller]
    fn prints(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `script`, which must print the line `said` of obuilderfs's and end with `code`.
    #[track_caller]
    fn refuses(&self, script: &str, code: i32, said: &str) {
        let output = self.run(script);
        let said = said.replace("HERE", &self.world.scratch.path().display().to_string());
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(printed.lines().any(|line| line == format!("obuilderfs: {said}")), "{printed}");
        assert_eq!(output.status.code(), Some(code), "{printed}");
    }
}

fn both() -> Option<[Machine; 2]> {
    require(&[Need::Root, Need::Fuse, Need::Tool("mount.fuse3")])
        .then(|| [Machine::with_helper(), Machine::with_libfuse()])
}

/// What an `/etc/fstab` may say, mount(8) and its friends' own words among it.
const FSTAB: &str =
    "fallback=$F,user,noatime,exec,suid,dev,auto,_netdev,nofail,x-systemd.requires=a.service,comment=x";

#[test]
fn mount_and_umount_work_with_what_an_fstab_may_say() {
    let Some(machines) = both() else { return };
    for machine in machines {
        let script = format!(
            "mount -t fuse.obuilderfs $B $M -o {FSTAB}
            ls $M; findmnt -no SOURCE,FSTYPE $M; findmnt -no VFS-OPTIONS $M
            umount $M; ! findmnt $M; ls $M"
        );
        let printed = machine.prints(&script);
        let lines: Vec<&str> = printed.lines().collect();
        let source = format!("{} fuse.obuilderfs", machine.world.scoreboard.display());
        assert_eq!(lines, ["of-the-fallback", &source, "rw,nosuid,nodev,noatime"]);
    }
}

#[test]
fn a_line_of_an_fstab_is_mounted_once() {
    let Some(machines) = both() else { return };
    for machine in machines {
        let printed = machine.prints(&format!(
            "echo \"$B $M fuse.obuilderfs {FSTAB} 0 0\" > $B/../fstab
            mount --fstab $B/../fstab -a; mount --fstab $B/../fstab -a
            findmnt -no FSTYPE $M; umount $M"
        ));
        assert_eq!(printed, "fuse.obuilderfs\n");
    }
}

#[test]
fn remount_changes_what_the_kernel_can_change_and_keeps_the_rest() {
    let Some(machines) = both() else { return };
    for machine in machines {
        let printed = machine.prints(
            "mount -t fuse.obuilderfs $B $M -o fallback=$F
            mount -t fuse.obuilderfs $B $M -o remount,ro,noexec,fallback=$F
            findmnt -no VFS-OPTIONS $M; ls $M; touch $M/new 2>&1 || true
            mount -o remount,rw,exec $M
            findmnt -no VFS-OPTIONS $M; touch $M/new; umount $M; ls $F",
        );
        let refused =
            format!("touch: cannot touch '{}/new': Read-only file system", machine.world.point.display());
        let lines: Vec<&str> = printed.lines().collect();
        let expected = [
            "ro,nosuid,nodev,noexec,relatime",
            "of-the-fallback",
            &refused,
            "rw,nosuid,nodev,relatime",
            "new",
            "of-the-fallback",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn a_mount_with_a_file_open_for_writing_is_not_made_read_only_and_says_why() {
    if !require(&[Need::Root, Need::Fuse]) {
        return;
    }
    let machine = Machine::with_helper();
    machine.refuses(
        "mount -t fuse.obuilderfs $B $M -o fallback=$F; exec 3>$M/open; exec mount -o remount,ro $M",
        32,
        "HERE/mnt cannot be made read-only now: a file there is open for writing, or removed and still open; \
        fuser -vm HERE/mnt shows whose",
    );
}

#[test]
fn what_cannot_be_is_refused_in_the_words_and_codes_of_a_helper() {
    if !require(&[Need::Root, Need::Fuse]) {
        return;
    }
    let machine = Machine::with_helper();
    let mount = |words: &str| format!("exec mount -t fuse.obuilderfs {words}");
    machine.refuses(
        &mount("$B $M -o threads=none"),
        1,
        "mount option threads=none: expected a number from 1 to 64",
    );
    machine.refuses(
        &mount("$B $M -o remount,ro"),
        32,
        "HERE/mnt: no obuilderfs is mounted there, so there is nothing to remount",
    );
    machine.refuses(
        &mount("$B/none $M"),
        32,
        "scoreboard HERE/scoreboard/none: cannot be opened: No such file or directory",
    );
    machine.refuses(
        &mount("$B $M -o setuid=nobody"),
        1,
        "mount option setuid: cannot be had; it serves each user with that user's rights, and so has to be root",
    );
    let unknown = machine.run(&mount("$B $M -o colour=red"));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.starts_with("obuilderfs: unknown mount option 'colour'; known: ro, "), "{said}");
    assert_eq!(unknown.status.code(), Some(1), "{said}");
}

#[test]
fn fake_and_sloppy_mounts_are_what_mount_says_they_are() {
    if !require(&[Need::Root, Need::Fuse]) {
        return;
    }
    let machine = Machine::with_helper();
    machine.prints("mount -f -t fuse.obuilderfs $B $M; ! findmnt $M");
    let printed = machine.prints("mount -s -t fuse.obuilderfs $B $M -o colour,fallback=$F; ls $M; umount $M");
    assert_eq!(printed, "of-the-fallback\n");
}
