//! Steps run by crun do what they do when runc runs them.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use obuilder_tests::containers::run;
use obuilder_tests::{Containers, Need, Scratch, require};

use crate::{NOTHING, can_build};

/// crun refuses machines with control groups of both versions. There it is shown none.
fn crun(scratch: &Scratch) -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let has = |kind: &str| mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    if !(has("cgroup") && has("cgroup2")) {
        return "crun".into();
    }
    let script = scratch.path().join("crun");
    let text = "#!/bin/sh\nexec unshare -m --propagation private sh -c '\
                grep -o \"/sys/fs/cgroup/[^ ]*\" /proc/self/mounts | sort -r | xargs umount && \
                exec crun --cgroup-manager=disabled \"$@\"' sh \"$@\"\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[test]
fn steps_run_by_crun_see_and_leave_what_those_of_runc_do() {
    if !can_build() || !require(&[Need::Tool("crun")]) {
        return;
    }
    let tools = Scratch::new();
    let step = "(user (uid 1000) (gid 1000)) (workdir /home) (env A b) \
                (run (cache (c (target /c))) (secrets (s (target /run/s))) (shell \"id -u; pwd; echo $A; hostname; \
                 cat /run/s; echo kept > /c/f; cat /proc/1/comm\"))";
    let said = [Some(crun(&tools)), None].map(|runtime| {
        let build = Containers::new();
        let secret = build.scratch.path().join("secret");
        fs::write(&secret, "told\n").unwrap();
        let build = build.with(format!("--secret=s:{}", secret.display()));
        let build = match runtime {
            Some(runtime) => build.with(format!("--runtime={}", runtime.display())),
            None => build,
        };
        fs::set_permissions(build.image.join("home"), fs::Permissions::from_mode(0o777)).unwrap();
        let ended = build.ops(step).done();
        assert!(!build.rootfs(ended.id()).join("run/s").exists());
        assert_eq!(fs::read_to_string(build.store.join("cache/c/f")).unwrap(), "kept\n");
        let failed = build.ops(&run("kill -9 $$"));
        assert!(failed.stderr.ends_with("failed with signal SIGKILL\n"), "{failed:?}");
        assert_eq!(build.left_behind(), NOTHING);
        ended.said().into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(said[0], said[1]);
}
