//! A build user and a tree for one test, both gone when it ends.
use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::io::Read;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use obuilder::host::lock::Lock;
use obuilder::host::{Host, SystemHost};
use obuilder::sandbox::pool::Uids;
use obuilder::sandbox::{Cancel, Command, Sandbox, SandboxError, Status, UserConfig, UserSandbox, View};

/// Dropped last to first: the account goes before its directory.
pub(crate) struct Fixture {
    pub(crate) sandbox: UserSandbox,
    pub(crate) uid: u32,
    pub(crate) rootfs: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) prefix: PathBuf,
    _account: AccountGuard,
    pub(crate) dir: tempfile::TempDir,
}

/// What a step printed, and how it ended.
pub(crate) type Ran = (String, Result<Status, SandboxError>);

/// As [`account_of`], with a tree for the account.
pub(crate) fn fixture(uid: u32) -> Option<Fixture> {
    let account = account_of(uid)?;
    Some(Fixture::below(tempfile::tempdir().unwrap(), uid, account))
}

/// Sees to it that the account, should it be made, is removed. `None`, and a word about it, where the test
/// cannot run: without root, unless CI asks for every test.
pub(crate) fn account_of(uid: u32) -> Option<AccountGuard> {
    if nix::unistd::geteuid().is_root() {
        return Some(AccountGuard(uid));
    }
    assert!(std::env::var_os("CI").is_none(), "this test needs root");
    eprintln!("skipped: needs root");
    None
}

impl Fixture {
    fn below(dir: tempfile::TempDir, uid: u32, account: AccountGuard) -> Self {
        let at = |name: &str| dir.path().join(name);
        let (rootfs, state, home, prefix) = (at("rootfs"), at("state"), at("home"), at("prefix"));
        let sandbox = sandbox(Uids::one(uid), &state, &home, View::Direct { prefix: Some(prefix.clone()) });
        fs::create_dir_all(rootfs.join("local/bin")).unwrap();
        fs::write(rootfs.join(".obuilder_profile.sh"), "").unwrap();
        let (owner, group) = sandbox.owner(&obuilder::spec::User::default()).unwrap();
        for path in ["", "local", "local/bin", ".obuilder_profile.sh"] {
            chown(rootfs.join(path), Some(owner), Some(group)).unwrap();
        }
        Self { sandbox, uid, rootfs, state, home, prefix, _account: account, dir }
    }

    /// Makes the sandbox anew, with another view.
    pub(crate) fn configure(&mut self, view: View) {
        self.sandbox = sandbox(Uids::one(self.uid), &self.state, &self.home, view);
    }

    /// Makes the sandbox anew, with other users.
    pub(crate) fn with_uids(&mut self, uids: &str) {
        let view = View::Direct { prefix: Some(self.prefix.clone()) };
        self.sandbox = sandbox(uids.parse().unwrap(), &self.state, &self.home, view);
    }

    /// `sh -c SCRIPT` in `/`.
    pub(crate) fn command(&self, script: &str) -> Command {
        Command {
            argv: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            workdir: "/".into(),
            env: Vec::new(),
            user: obuilder::spec::User::default(),
            caches: Vec::new(),
            host_network: true,
            secrets: Vec::new(),
            rootfs: self.rootfs.clone(),
        }
    }

    pub(crate) fn run(&self, command: &Command) -> Ran {
        block_on(self.start(command, &Cancel::default()))
    }

    /// Runs a script that is to succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let (output, status) = self.run(&self.command(script));
        assert_eq!(status.unwrap(), Status::Exited(0), "{script}: {output}");
        output
    }

    pub(crate) async fn start(&self, command: &Command, cancel: &Cancel) -> Ran {
        let (mut output, input) = std::io::pipe().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            output.read_to_end(&mut all).unwrap();
            String::from_utf8_lossy(&all).into_owned()
        });
        let status = self.sandbox.run(command, input.into(), cancel).await;
        (reader.join().unwrap(), status)
    }

    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(SystemHost::default().processes_of(self.uid).unwrap(), []);
        assert_eq!(names_in(&self.state), Vec::<String>::new());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.path().to_str().unwrap()), "{mounts}");
    }
}

/// Waits for a condition; fails, and says for what, when it takes absurdly long.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn sandbox(uids: Uids, state: &Path, home: &Path, view: View) -> UserSandbox {
    let (state, home) = (state.to_owned(), home.to_owned());
    let config = UserConfig { uids, view, state, home, executable: env!("CARGO_BIN_EXE_obuilder").into() };
    UserSandbox::new(config, Box::new(SystemHost::default())).unwrap()
}

/// The names in a directory, sorted.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Removes the account, and the group with the last of them.
pub(crate) struct AccountGuard(u32);

impl Drop for AccountGuard {
    fn drop(&mut self) {
        let host = SystemHost::default();
        let _ = host.kill_all(self.0);
        let _lock = Lock::take(host.lock_dir(), "accounts");
        let _ = host.delete_account(&format!("obuilder{}", self.0));
        let _ = std::process::Command::new("/usr/sbin/groupdel").arg("obuilder").output();
    }
}
