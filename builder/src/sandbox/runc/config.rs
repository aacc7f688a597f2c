//! What a runtime is told of a step: the `config.json` of its bundle, as the OCI runtime specification has it.
//!
//! Namespaces, capabilities, mounts and limits are OBuilder's, so that a step sees what it always saw.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::seccomp;

/// Everything that shapes a container.
#[derive(Debug, Clone)]
pub struct Container {
    /// The tree that is its `/`.
    pub rootfs: PathBuf,
    /// The program that starts the step, and the step's words.
    pub argv: Vec<OsString>,
    /// Where it starts: a directory of the tree, absolute.
    pub workdir: PathBuf,
    /// Variables, in order.
    pub env: Vec<(OsString, OsString)>,
    /// User and group.
    pub user: (u32, u32),
    /// Whether it shares the host's network; otherwise it has a loopback of its own.
    pub host_network: bool,
    /// Single files it may read: source on the host, and target.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Directories it may write to: source on the host, and target.
    pub caches: Vec<(PathBuf, PathBuf)>,
    /// Single files it may read, bound last: source on the host, and target.
    pub secrets: Vec<(PathBuf, PathBuf)>,
    /// Whether sync(2) and its like do nothing.
    pub fast_sync: bool,
}

/// The host name of every step.
const HOSTNAME: &str = "builder";

/// What root may do in a container: chown, override permissions, become others, make nodes (capabilities(7)).
const CAPABILITIES: [&str; 12] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Open files, soft and hard.
const OPEN_FILES: u32 = 1024;

/// Files of `/proc` and `/sys` that tell about the host, and are not shown.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

/// Files of `/proc` that change the host, and cannot be written.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The bundle's `config.json`. Bytes that are not UTF-8 cannot be said in JSON; they are an error.
///
/// # Errors
/// The string that is not UTF-8.
pub fn to_json(container: &Container) -> Result<Value, NotUnicode> {
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": process(container)?,
        "root": { "path": text(&container.rootfs)?, "readonly": false },
        "hostname": HOSTNAME,
        "mounts": mounts(container)?,
        "linux": {
            "namespaces": namespaces(container.host_network),
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": seccomp::filter(container.fast_sync),
        },
    }))
}

/// A string that a runtime's configuration cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not UTF-8, and a container's configuration can hold nothing else")]
pub struct NotUnicode(OsString);

fn process(container: &Container) -> Result<Value, NotUnicode> {
    let (uid, gid) = container.user;
    let variable = |(name, value): &(OsString, OsString)| Ok(format!("{}={}", text(name)?, text(value)?));
    let capabilities = ["bounding", "effective", "inheritable", "permitted"];
    let capabilities: serde_json::Map<_, _> =
        capabilities.map(|set| (set.to_owned(), json!(CAPABILITIES))).into_iter().collect();
    Ok(json!({
        "terminal": false,
        "user": { "uid": uid, "gid": gid, "umask": 0o022 },
        "args": container.argv.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        "env": container.env.iter().map(variable).collect::<Result<Vec<_>, _>>()?,
        "cwd": text(&container.workdir)?,
        "capabilities": capabilities,
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": OPEN_FILES, "soft": OPEN_FILES }],
        "noNewPrivileges": false,
    }))
}

fn namespaces(host_network: bool) -> Vec<Value> {
    let own_network = (!host_network).then_some("network");
    let all = own_network.into_iter().chain(["pid", "ipc", "uts", "mount"]);
    all.map(|kind| json!({ "type": kind })).collect()
}

fn mounts(container: &Container) -> Result<Vec<Value>, NotUnicode> {
    let mut mounts = vec![
        kernel("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        kernel("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        kernel(
            "devpts",
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        kernel("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        kernel("cgroup", "cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        kernel("tmpfs", "shm", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        kernel("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    let read_only = ["rbind", "rprivate", "ro"];
    for (source, target) in &container.files {
        mounts.push(bind(source, target, &read_only)?);
    }
    for (source, target) in &container.caches {
        mounts.push(bind(source, target, &["rbind", "nosuid", "nodev", "rw"])?);
    }
    for (source, target) in &container.secrets {
        mounts.push(bind(source, target, &read_only)?);
    }
    Ok(mounts)
}

fn kernel(kind: &str, source: &str, target: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}

fn bind(source: &Path, target: &Path, options: &[&str]) -> Result<Value, NotUnicode> {
    Ok(json!({ "destination": text(target)?, "type": "bind", "source": text(source)?, "options": options }))
}

fn text(words: impl AsRef<std::ffi::OsStr>) -> Result<String, NotUnicode> {
    let words = words.as_ref();
    words.to_str().map(str::to_owned).ok_or_else(|| NotUnicode(words.to_owned()))
}

#[cfg(test)]
mod tests;
