//! What a runtime is told, against texts that were read by people.
use super::{Container, to_json};

fn plain() -> Container {
    Container {
        rootfs: "/store/result-tmp/id/rootfs".into(),
        argv: ["/proc/self/fd/3", "/bin/sh", "-c", "echo \"é\"\n"].map(Into::into).to_vec(),
        workdir: "/".into(),
        env: vec![("PATH".into(), "/bin".into()), ("EMPTY".into(), "".into())],
        user: (0, 0),
        host_network: false,
        files: vec![("/state/hosts".into(), "/etc/hosts".into())],
        caches: Vec::new(),
        secrets: Vec::new(),
        fast_sync: false,
    }
}

fn shown(container: &Container) -> String {
    let mut text = serde_json::to_string_pretty(&to_json(container).unwrap()).unwrap();
    // Of this machine alone.
    let start = text.find("\"architectures\": [").unwrap();
    let end = start + text[start..].find(']').unwrap() + 1;
    text.replace_range(start..end, "\"architectures\": []");
    text.push('\n');
    text
}

#[test]
fn a_plain_step_has_its_namespaces_mounts_and_limits() {
    assert_eq!(shown(&plain()), include_str!("plain.json"));
}

#[test]
fn a_step_with_all_there_is_has_its_user_network_caches_and_secrets() {
    let all = Container {
        user: (1000, 1001),
        workdir: "/w".into(),
        host_network: true,
        files: vec![
            ("/state/hosts".into(), "/etc/hosts".into()),
            ("/etc/resolv.conf".into(), "/etc/resolv.conf".into()),
        ],
        caches: vec![("/store/cache-tmp/0-c".into(), "/c".into())],
        secrets: vec![("/state/secrets/0".into(), "/c/secret".into())],
        fast_sync: true,
        ..plain()
    };
    assert_eq!(shown(&all), include_str!("full.json"));
}

#[test]
fn what_json_cannot_hold_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let argv = vec![std::ffi::OsString::from_vec(b"\xff".to_vec())];
    let error = to_json(&Container { argv, ..plain() }).unwrap_err().to_string();
    assert_eq!(error, "\"\\xFF\" is not UTF-8, and a container's configuration can hold nothing else");
}
