//! What is asked of ZFS, and how its answers are read, where there is no pool.
use std::sync::Arc;

use super::*;
use crate::host::recording::Recording;
use crate::host::run::Answer;

/// A recording that can be looked at while it is used.
struct Shared(Arc<Recording>);

impl Run for Shared {
    fn run(&self, words: &[&str]) -> Result<Answer, HostError> {
        self.0.run(words)
    }
}

/// ZFS as OpenZFS on macOS installs it, answering what `recording` foresees.
fn on_a_mac(recording: Recording) -> (Zfs, Arc<Recording>) {
    let recording = Arc::new(recording);
    let program = |name: &str| vec![format!("/usr/local/zfs/bin/{name}")];
    let programs = Programs { zfs: program("zfs"), zpool: program("zpool") };
    (Zfs::new(programs, Box::new(Shared(Arc::clone(&recording)))), recording)
}

#[test]
fn every_command_is_spelled_so_that_all_kinds_of_zfs_know_it() {
    let (zfs, recording) = on_a_mac(Recording::default());
    zfs.create_group("tank/state").unwrap();
    zfs.create("tank/result-tmp/a").unwrap();
    zfs.clone_of("tank/result/a@snap", "tank/result-tmp/b").unwrap();
    zfs.mount("tank/result-tmp/b").unwrap();
    zfs.mount_read_only("tank/result/a").unwrap();
    zfs.unmount("tank/result-tmp/b").unwrap();
    zfs.snapshot("tank/result-tmp/b@snap").unwrap();
    zfs.rename("tank/result-tmp/b", "tank/result/b").unwrap();
    zfs.promote("tank/result/b").unwrap();
    zfs.destroy("tank/result/a").unwrap();
    zfs.destroy_later("tank/result/b@old").unwrap();
    zfs.list(&["tank".into(), "tank/cache-tmp".into()]).unwrap();
    zfs.exists("tank/result/b@snap").unwrap();
    zfs.guid("tank/cache/c-x").unwrap();
    zfs.creations("tank/result").unwrap();
    zfs.origins("tank").unwrap();
    zfs.tree("tank/base-image/a").unwrap();
    zfs.space("tank").unwrap();
    zfs.freeing("tank").unwrap();
    let expected = [
        "zfs create tank/state",
        "zfs create -o canmount=noauto tank/result-tmp/a",
        "zfs clone -o canmount=noauto tank/result/a@snap tank/result-tmp/b",
        "zfs mount tank/result-tmp/b",
        "zfs mount -o ro tank/result/a",
        "zfs unmount tank/result-tmp/b",
        "zfs snapshot tank/result-tmp/b@snap",
        "zfs rename tank/result-tmp/b tank/result/b",
        "zfs promote tank/result/b",
        "zfs destroy -r tank/result/a",
        "zfs destroy -d tank/result/b@old",
        "zfs list -H -d 1 -t filesystem -o name,mounted,mountpoint tank tank/cache-tmp",
        "zfs list -H -t filesystem,snapshot -o name tank/result/b@snap",
        "zfs get -H -p -o value guid tank/cache/c-x",
        "zfs get -H -p -r -o name,value creation tank/result",
        "zfs list -H -r -t filesystem -o name,origin tank",
        "zfs list -H -r -t filesystem,snapshot -o name -s creation tank/base-image/a",
        "zfs get -H -p -o value used,available tank",
        "zpool list -H -p -o freeing tank",
    ];
    assert_eq!(recording.ran(), expected.map(|command| format!("/usr/local/zfs/bin/{command}")));
}

#[test]
fn answers_are_read_as_they_are_printed() {
    let answers = Recording::default()
        .answers("/usr/local/zfs/bin/zfs list -H -d", 0, "tank\tyes\t/Volumes/tank\ntank/state\tno\tnone\n")
        .answers("/usr/local/zfs/bin/zfs get -H -p -o value guid", 0, "17311664681541494350\n")
        .answers(
            "/usr/local/zfs/bin/zfs get -H -p -r",
            0,
            "tank/result\t1795650916\ntank/result/a@snap\t17\n",
        )
        .answers("/usr/local/zfs/bin/zfs list -H -r", 0, "tank\t-\ntank/b\ttank/a@snap\n")
        .answers("/usr/local/zfs/bin/zfs get -H -p -o value used", 0, "100\n300\n")
        .answers("/usr/local/zfs/bin/zpool list", 2, "");
    let (zfs, _) = on_a_mac(answers);
    let dataset =
        |name: &str, mounted, at: &str| Dataset { name: name.into(), mounted, mountpoint: at.into() };
    let listed = [dataset("tank", true, "/Volumes/tank"), dataset("tank/state", false, "none")];
    assert_eq!(zfs.list(&["tank".into()]).unwrap(), listed);
    assert_eq!(zfs.guid("tank/c").unwrap(), Some(17_311_664_681_541_494_350));
    let created = [("tank/result".to_owned(), 1_795_650_916), ("tank/result/a@snap".to_owned(), 17)];
    assert_eq!(zfs.creations("tank/result").unwrap(), created);
    let origins = [("tank".to_owned(), "-".to_owned()), ("tank/b".to_owned(), "tank/a@snap".to_owned())];
    assert_eq!(zfs.origins("tank").unwrap(), origins);
    assert_eq!(zfs.space("tank").unwrap(), (100, 300));
    assert_eq!(zfs.freeing("tank").unwrap(), None, "a ZFS that does not know the word frees at once");
}

#[test]
fn a_machine_without_zfs_is_told_what_to_install() {
    let program = |name: &str| vec![format!("/no/such/place/{name}")];
    let programs = Programs { zfs: program("zfs"), zpool: program("zpool") };
    let zfs = Zfs::new(programs, Box::new(crate::host::run::SystemRun));
    let failure = zfs.list(&["tank".into()]).unwrap_err();
    assert_eq!(failure.kind, Kind::NotInstalled);
    assert!(failure.to_string().starts_with("there is no zfs here; install zfsutils-linux"), "{failure}");
    assert_eq!(zfs.freeing("tank").unwrap_err().kind, Kind::NotInstalled);
}
