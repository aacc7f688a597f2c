//! The build users: `obuilder705` is uid 705. Made when first needed, kept, and used again.
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::SandboxError;
use crate::host::lock::Lock;
use crate::host::{Account, Host};

/// The group that every build user belongs to.
pub const GROUP: &str = "obuilder";

/// The comment that marks an account as ours.
pub const GECOS: &str = "obuilder build user";

/// The smallest uid that is not the system's own.
pub const FIRST_UID: u32 = 500;

/// The uids of build users: a range, of which each is one step's at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uids {
    first: u32,
    last: u32,
}

impl Uids {
    /// `uid` alone, so that one step runs at a time.
    pub fn one(uid: u32) -> Self {
        Self { first: uid, last: uid }
    }

    /// The first of them.
    pub fn first(self) -> u32 {
        self.first
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        self.first..=self.last
    }
}

/// `705`, or `705-712`.
impl FromStr for Uids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "not a user id; give a number, such as 705, or a range, such as 705-712".to_owned();
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.parse::<u32>().map_err(|_| refused());
        let (first, last) = (number(first)?, number(last)?);
        // (uid_t) -1 is nobody's.
        if last < first || last == u32::MAX { Err(refused()) } else { Ok(Self { first, last }) }
    }
}

impl fmt::Display for Uids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// The name of the build user with that uid.
pub fn name_of(uid: u32) -> String {
    format!("obuilder{uid}")
}

/// Checks, without changing anything, that `uid` is free or a build user's; gives the account if there is one.
///
/// # Errors
/// The uid is the system's or another account's, somebody runs processes as it without an account (as containers
/// do), or our account has another uid or home.
pub fn check(host: &dyn Host, uid: u32, home: &Path) -> Result<Option<Account>, SandboxError> {
    // (uid_t) -1 means "leave it" to chown(2) and setreuid(2).
    if uid < FIRST_UID || uid == u32::MAX {
        return Err(SandboxError::SystemUid(uid));
    }
    let name = name_of(uid);
    let Some(account) = host.account_of(uid)? else {
        return match host.account_named(&name)? {
            Some(other) => Err(differs(name, "uid", other.uid.to_string(), uid.to_string())),
            None => nobody_runs_as(host, uid).map(|()| None),
        };
    };
    if account.name != name {
        return Err(SandboxError::ForeignAccount { uid, name: account.name, gecos: account.gecos });
    }
    if account.home != home {
        let found = account.home.display().to_string();
        return Err(differs(name, "home", found, home.display().to_string()));
    }
    Ok(Some(account))
}

/// Checks that no process has `uid`, which no account has: it would be taken for a step's and killed.
fn nobody_runs_as(host: &dyn Host, uid: u32) -> Result<(), SandboxError> {
    let running = host.processes_of(uid)?;
    if running.is_empty() { Ok(()) } else { Err(SandboxError::ForeignProcesses { uid, running }) }
}

/// Whether `uid` is a build user's: only then can its processes be ours.
///
/// # Errors
/// The user database cannot be read.
pub fn is_ours(host: &dyn Host, uid: u32) -> Result<bool, SandboxError> {
    let account = if uid < FIRST_UID { return Ok(false) } else { host.account_of(uid)? };
    Ok(account.is_some_and(|account| account.name == name_of(uid)))
}

/// The build user with that uid, made if there is none.
///
/// # Errors
/// As [`check`], or the account cannot be made.
pub fn account(host: &dyn Host, uid: u32, home: &Path) -> Result<Account, SandboxError> {
    if let Some(account) = check(host, uid, home)? {
        return Ok(account);
    }
    // Two builders that start together must not both make the group.
    let _lock = Lock::take(host.lock_dir(), "accounts")?;
    if let Some(account) = check(host, uid, home)? {
        return Ok(account);
    }
    let gid = match host.group_named(GROUP)? {
        Some(gid) => gid,
        None => host.create_group(GROUP)?,
    };
    let account =
        Account { name: name_of(uid), uid, gid, home: home.to_owned(), shell: shell(), gecos: GECOS.into() };
    host.create_account(&account)?;
    tracing::info!("made the build user {} (uid {uid})", account.name);
    Ok(account)
}

fn shell() -> PathBuf {
    let bash = Path::new("/bin/bash");
    if bash.exists() { bash.into() } else { "/bin/sh".into() }
}

fn differs(name: String, field: &'static str, found: String, wanted: String) -> SandboxError {
    SandboxError::AccountDiffers { name, field, found, wanted }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::host::{HostError, Process};

    /// A machine that has only accounts and groups.
    #[derive(Default)]
    struct Accounts {
        users: Mutex<Vec<Account>>,
        groups: Mutex<Vec<String>>,
        running: Mutex<Vec<(u32, Process)>>,
        locks: PathBuf,
    }

    impl Host for Accounts {
        fn account_named(&self, name: &str) -> Result<Option<Account>, HostError> {
            Ok(self.users.lock().iter().find(|a| a.name == name).cloned())
        }
        fn account_of(&self, uid: u32) -> Result<Option<Account>, HostError> {
            Ok(self.users.lock().iter().find(|a| a.uid == uid).cloned())
        }
        fn group_named(&self, name: &str) -> Result<Option<u32>, HostError> {
            Ok(self.groups.lock().iter().any(|g| g == name).then_some(600))
        }
        fn create_group(&self, name: &str) -> Result<u32, HostError> {
            self.groups.lock().push(name.to_owned());
            Ok(600)
        }
        fn create_account(&self, account: &Account) -> Result<(), HostError> {
            self.users.lock().push(account.clone());
            Ok(())
        }
        fn delete_account(&self, _: &str) -> Result<(), HostError> {
            Ok(())
        }
        fn processes_of(&self, uid: u32) -> Result<Vec<Process>, HostError> {
            let running = self.running.lock();
            Ok(running.iter().filter(|(owner, _)| *owner == uid).map(|(_, p)| p.clone()).collect())
        }
        fn kill_all(&self, _: u32) -> Result<Vec<Process>, HostError> {
            Ok(Vec::new())
        }
        fn build_home(&self) -> &Path {
            Path::new("/home/obuilder")
        }
        fn lock_dir(&self) -> &Path {
            &self.locks
        }
    }

    fn machine() -> (tempfile::TempDir, Accounts) {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("locks");
        (dir, Accounts { locks, ..Accounts::default() })
    }

    fn refusal(host: &Accounts, uid: u32) -> String {
        account(host, uid, Path::new("/home/obuilder")).unwrap_err().to_string()
    }

    #[test]
    fn uids_are_one_or_a_range() {
        let uids = |text: &str| text.parse::<Uids>().map(|uids| uids.iter().collect::<Vec<_>>());
        assert_eq!(uids("705"), Ok(vec![705]));
        assert_eq!(uids("705-707"), Ok(vec![705, 706, 707]));
        for text in ["705", "705-712"] {
            assert_eq!(text.parse::<Uids>().unwrap().to_string(), text);
        }
        for text in ["", "-", "705-", "-705", "706-705", "99999999999", "4294967295", "abc"] {
            assert!(uids(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_build_user_is_made_once_and_used_again() {
        let (_dir, host) = machine();
        let home = Path::new("/home/obuilder");
        assert_eq!(check(&host, 705, home).unwrap(), None);
        let made = account(&host, 705, home).unwrap();
        assert_eq!((made.name.as_str(), made.uid, made.gid), ("obuilder705", 705, 600));
        assert_eq!(account(&host, 705, home).unwrap(), made);
        account(&host, 706, home).unwrap();
        assert_eq!((host.users.lock().len(), host.groups.lock().len()), (2, 1));
    }

    #[test]
    fn a_uid_of_the_system_or_of_a_person_is_refused_by_name() {
        let (_dir, host) = machine();
        assert_eq!(
            refusal(&host, 499),
            "uid 499 is one of the system's own; choose one of 500 or more with --uid"
        );
        assert!(refusal(&host, u32::MAX).starts_with("uid 4294967295 is one of the system's own"));
        let alice = Account {
            name: "alice".into(),
            uid: 705,
            gid: 100,
            home: "/home/alice".into(),
            shell: "/bin/sh".into(),
            gecos: "Alice Smith".into(),
        };
        host.create_account(&alice).unwrap();
        assert_eq!(
            refusal(&host, 705),
            "uid 705 is in use by the account 'alice' (Alice Smith), which is not obuilder's; \
             choose a free one with --uid"
        );
        host.create_account(&Account { name: "obuilder706".into(), uid: 900, ..alice }).unwrap();
        assert_eq!(
            refusal(&host, 706),
            "the account 'obuilder706' has uid 900, not 706; remove it and it is made anew"
        );
        assert_eq!(host.users.lock().len(), 2);
    }

    #[test]
    fn a_uid_that_somebody_uses_without_an_account_is_refused_and_its_processes_are_not_ours() {
        let (_dir, host) = machine();
        host.running.lock().push((705, Process { pid: 12, name: "mysqld".into() }));
        assert_eq!(
            refusal(&host, 705),
            "uid 705 has no account, and somebody runs processes as it: mysqld (12); choose a free one with --uid"
        );
        assert!(!is_ours(&host, 705).unwrap());
        assert!(host.users.lock().is_empty());
        // What runs as a build user can only be a step.
        host.running.lock().clear();
        account(&host, 705, Path::new("/home/obuilder")).unwrap();
        host.running.lock().push((705, Process { pid: 13, name: "make".into() }));
        account(&host, 705, Path::new("/home/obuilder")).unwrap();
        assert!(is_ours(&host, 705).unwrap());
    }

    #[test]
    fn a_build_user_with_another_home_is_refused() {
        let (_dir, host) = machine();
        account(&host, 705, Path::new("/home/elsewhere")).unwrap();
        assert_eq!(
            refusal(&host, 705),
            "the account 'obuilder705' has home /home/elsewhere, not /home/obuilder; remove it and it is made anew"
        );
    }
}
