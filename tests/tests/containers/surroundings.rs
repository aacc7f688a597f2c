//! What a step finds around it.
use std::fs;

use obuilder_tests::Containers;
use obuilder_tests::containers::run;

use crate::{NOTHING, can_build};

#[test]
fn a_spec_is_built_and_the_next_time_all_of_it_is_there() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    fs::write(build.source.join("a.txt"), "A\n").unwrap();
    let ops = "(copy (src a.txt) (dst /src/)) (workdir /src) (run (shell \"cat a.txt; echo made > made\"))\
               (run (shell \"cat made; printf 'no newline'\"))";
    let first = build.ops(ops).done();
    assert_eq!(first.said()[..2], ["A", "made"]);
    assert!(first.stdout.contains("no newline---> saved as"), "{}", first.stdout);
    assert_eq!(fs::read(build.rootfs(first.id()).join("src/made")).unwrap(), b"made\n");
    let second = build.ops(ops).done();
    assert_eq!(
        second.stdout,
        first.stdout.replace("saved as", "using").replace("\"\n", "\" from cache\n").replacen(
            &format!("Got: \"{}\" from cache", first.id()),
            &format!("Got: \"{}\"", first.id()),
            1
        )
    );
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn a_step_is_root_with_few_powers_in_a_container_of_its_own() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build
        .steps(&["id -u; hostname; cat /etc/hosts; echo; pwd; umask; ulimit -n; echo $HOME; grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status | tr '\\t' ' '; mount -t tmpfs x /tmp 2>&1 | grep -o 'ermission denied\\|not permitted'"])
        .done();
    let said = ended.said();
    assert_eq!(said[..3], ["0", "builder", "127.0.0.1 localhost builder"]);
    assert_eq!(said[3..7], ["/", "0022", "1024", "/root"]);
    let powers = ["CapEff: 00000000a80401fb", "CapBnd: 00000000a80401fb", "NoNewPrivs: 0", "Seccomp: 2"];
    assert_eq!(said[7..11], powers);
    assert_eq!(said.len(), 12, "{said:?}");
}

#[test]
fn another_user_has_no_powers_and_owns_what_it_makes() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build
        .ops("(user (uid 1000) (gid 1001)) (workdir /tmp) (run (shell \"id -u; id -g; grep CapEff /proc/self/status | cut -f2; touch /etc/x 2>/dev/null || echo refused; touch mine; stat -c %u:%g mine; echo x > /dev/stderr\"))")
        .done();
    assert_eq!(ended.said(), ["1000", "1001", "0000000000000000", "refused", "1000:1001", "x"]);
}

#[test]
fn a_step_has_a_network_of_its_own_unless_it_asks_for_the_hosts() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let count = "ip link | grep -c '^[0-9]'; ip link show lo | grep -c LOOPBACK,UP; test -s /etc/resolv.conf && echo resolv";
    let own = build.steps(&[&format!("{count}; true")]).done();
    assert_eq!(own.said(), ["1", "1"]);
    let hosts = build.ops(&format!("(run (network host) (shell \"{count}; true\"))")).done();
    let on_host = fs::read_dir("/sys/class/net").unwrap().count();
    assert_eq!(hosts.said(), [on_host.to_string().as_str(), "1", "resolv"]);
    assert!(!build.rootfs(hosts.id()).join("etc/resolv.conf").exists(), "no trace of the host's");
    assert!(!build.rootfs(hosts.id()).join("etc/hosts").exists(), "nor of ours");
}

#[test]
fn the_step_is_not_process_1_so_killing_its_shell_fails_it() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended =
        build.steps(&["echo $$ $PPID | grep -v '^1 ' >/dev/null && echo child; kill -9 $$; echo never"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.said(), ["child"]);
    assert!(ended.stderr.ends_with("failed with signal SIGKILL\n"), "{}", ended.stderr);
    assert_eq!(build.results().len(), 1, "the base alone");
    assert_eq!(build.left_behind(), NOTHING);
}

#[test]
fn process_1_waits_for_orphans() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build
        .steps(&["for i in 1 2 3; do (sh -c 'exit 0' &); done; n=0; while ps -o ppid,stat | grep -q '^ *1 *Z' && [ $n -lt 300 ]; do usleep 10000; n=$((n+1)); done; [ $n -lt 300 ] && echo none left"])
        .done();
    assert_eq!(ended.said(), ["none left"]);
}

#[test]
fn process_1_hands_signals_on_to_the_step() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build
        .steps(&["trap 'echo got it; exit 0' TERM; kill -TERM 1; n=0; while [ $n -lt 500 ]; do usleep 10000; n=$((n+1)); done; exit 5"])
        .done();
    assert_eq!(ended.said(), ["got it"]);
}

#[test]
fn standard_input_is_empty_and_both_outputs_keep_their_order() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let ended = build
        .steps(&["cat; echo eof $?; for i in 1 2 3; do echo out $i; echo err $i >&2; done; ls /proc/self/fd | tr '\\n' ' '"])
        .done();
    let words = ["eof 0", "out 1", "err 1", "out 2", "err 2", "out 3", "err 3"];
    assert_eq!(ended.said()[..7], words);
    // The fourth is the directory itself, as ls reads it.
    assert!(ended.stdout.contains("err 3\n0 1 2 3 ---> saved"), "{}", ended.stdout);
}

#[test]
fn a_command_that_is_not_there_is_named() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let missing = build.ops("(shell no-such-shell -c) (run (shell x))");
    assert_eq!(missing.code, Some(1));
    let line = "obuilder: cannot run no-such-shell: no such program, or its interpreter is missing";
    assert_eq!(missing.said(), [line]);
    let told = "Build step failed: \"no-such-shell\" \"-c\" \"x\" failed with exit status 127\n";
    assert!(missing.stderr.ends_with(told), "{}", missing.stderr);
    let denied = build.ops("(shell /etc/passwd) (run (shell x))");
    assert_eq!(denied.said(), ["obuilder: cannot run /etc/passwd: permission denied"]);
    // Found in the PATH of the step, not in that of the builder.
    let found = build.ops("(env PATH /usr/bin:/bin) (shell busybox echo) (run (shell \"a b\"))").done();
    assert_eq!(found.said(), ["a b"]);
}

#[test]
fn a_copy_goes_where_the_steps_see_it() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    fs::write(build.source.join("a"), "A").unwrap();
    let ended = build
        .ops(&format!(
            "(workdir /w/x) (copy (src a) (dst .)) (copy (src a) (dst ../up)) (user (uid 7) (gid 8)) \
             (copy (src a) (dst /etc/mine/)) {}",
            run("ls -ld /w/x/a /w/up /etc /etc/mine /etc/mine/a | awk '{print $3,$4,$9}'")
        ))
        .done();
    assert_eq!(
        ended.said(),
        ["root root /etc", "7 8 /etc/mine", "7 8 /etc/mine/a", "root root /w/up", "root root /w/x/a"]
    );
}

#[test]
fn stages_see_each_other_as_far_as_their_scope_goes() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    let image = build.image.display();
    let stage = |ops: &str| format!("((from {image}) (shell /bin/sh -c) {ops})");
    let spec = format!(
        "((build tools {}) (build lib ((build inner {}) (from {image}) (copy (from (build inner)) (src /i) (dst /lib/)) (copy (from (build tools)) (src t) (dst /lib/)))) \
         (from {image}) (shell /bin/sh -c) (copy (from (build lib)) (src /lib) (dst /copied)) (run (shell \"cat /copied/i /copied/t\")))",
        stage("(run (shell \"echo t > /t\"))"),
        stage("(run (shell \"echo i > /i\"))"),
    );
    assert_eq!(build.run(&spec).done().said(), ["i", "t"]);
    let hidden = spec.replace("(copy (from (build lib)) (src /lib)", "(copy (from (build inner)) (src /i)");
    let ended = build.run(&hidden);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("inner"), "{}", ended.stderr);
}
