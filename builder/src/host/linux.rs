//! Linux: accounts through shadow-utils, processes through `/proc`.
use std::path::Path;

use super::run::{Run, SystemRun};
use super::{Account, Host, HostError, Process, database};

mod namespace;
mod processes;

pub use namespace::enter_private_mount_namespace;

/// This machine, if it is Linux.
#[derive(Debug, Default)]
pub struct LinuxHost<R = SystemRun> {
    run: R,
}

impl<R: Run> LinuxHost<R> {
    /// With `run` to run the commands.
    pub fn new(run: R) -> Self {
        Self { run }
    }
}

impl<R: Run> Host for LinuxHost<R> {
    fn account_named(&self, name: &str) -> Result<Option<Account>, HostError> {
        database::account_named(name)
    }

    fn account_of(&self, uid: u32) -> Result<Option<Account>, HostError> {
        database::account_of(uid)
    }

    fn group_named(&self, name: &str) -> Result<Option<u32>, HostError> {
        database::group_named(name)
    }

    fn create_group(&self, name: &str) -> Result<u32, HostError> {
        self.run.must(&["groupadd", "--system", name])?;
        let answer =
            || HostError::Answer { command: format!("groupadd --system {name}"), answer: String::new() };
        self.group_named(name)?.ok_or_else(answer)
    }

    /// `--system`: no mail spool, no subordinate uids, no password ageing (useradd(8)).
    fn create_account(&self, account: &Account) -> Result<(), HostError> {
        let words = [
            "useradd",
            "--system",
            "--no-create-home",
            "--no-user-group",
            "--no-log-init",
            "--uid",
            &account.uid.to_string(),
            "--gid",
            &account.gid.to_string(),
            "--home-dir",
            &account.home.to_string_lossy(),
            "--shell",
            &account.shell.to_string_lossy(),
            "--comment",
            &account.gecos,
            &account.name,
        ];
        self.run.must(&words).map(drop)
    }

    fn delete_account(&self, name: &str) -> Result<(), HostError> {
        self.run.must(&["userdel", name]).map(drop)
    }

    fn processes_of(&self, uid: u32) -> Result<Vec<Process>, HostError> {
        processes::of(uid)
    }

    fn kill_all(&self, uid: u32) -> Result<Vec<Process>, HostError> {
        processes::kill_all(uid)
    }

    fn build_home(&self) -> &Path {
        Path::new("/home/obuilder")
    }

    fn lock_dir(&self) -> &Path {
        Path::new("/run/obuilder-locks")
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::Recording;
    use super::*;

    #[test]
    fn an_account_is_made_without_home_group_or_mail_spool() {
        let host = LinuxHost::new(Recording::default());
        host.create_account(&Account {
            name: "obuilder705".into(),
            uid: 705,
            gid: 600,
            home: "/home/obuilder".into(),
            shell: "/bin/bash".into(),
            gecos: "obuilder build user".into(),
        })
        .unwrap();
        host.delete_account("obuilder705").unwrap();
        assert_eq!(
            host.run.ran(),
            [
                "useradd --system --no-create-home --no-user-group --no-log-init --uid 705 --gid 600 \
                 --home-dir /home/obuilder --shell /bin/bash --comment obuilder build user obuilder705",
                "userdel obuilder705",
            ]
        );
    }
}
