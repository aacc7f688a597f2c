//! Who steps run as: a build user for each step that runs now, out of a range of uids.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;

use super::pool::{self, Uids};
use super::{SandboxError, platform};
use crate::host::lock::{Lock, Taken};
use crate::host::{Account, Host};

/// How often uids that are all in use are asked for again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The build users of a sandbox.
pub(super) struct Users {
    uids: Uids,
    home: PathBuf,
    host: Box<dyn Host>,
    /// Those that were made or found so far.
    accounts: Mutex<BTreeMap<u32, Account>>,
}

/// A build user that is one step's alone, on the whole machine, until this is dropped.
pub(super) struct Lease {
    pub(super) account: Account,
    _uid: Lock,
    /// Where all users share the path of their homes, one step runs at a time.
    _home: Option<Lock>,
}

impl Users {
    /// Checks, without making anybody, that one of `uids` is to be had.
    pub(super) fn new(uids: Uids, home: PathBuf, host: Box<dyn Host>) -> Result<Self, SandboxError> {
        let users = Self { uids, home, host, accounts: Mutex::default() };
        let mut refusal = None;
        for uid in users.uids.iter() {
            match pool::check(&*users.host, uid, &users.home) {
                Ok(account) => {
                    users.accounts.lock().extend(account.map(|account| (uid, account)));
                    return Ok(users);
                }
                Err(error) => refusal.get_or_insert(error),
            };
        }
        Err(refusal.unwrap_or(SandboxError::SystemUid(users.uids.first())))
    }

    pub(super) fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// The first of them, made if need be: whoever the trees of results belong to.
    pub(super) fn first(&self) -> Result<Account, SandboxError> {
        let mut refusal = None;
        for uid in self.uids.iter() {
            match self.account(uid) {
                Ok(account) => return Ok(account),
                Err(error) => refusal.get_or_insert(error),
            };
        }
        Err(refusal.unwrap_or(SandboxError::SystemUid(self.uids.first())))
    }

    /// One that nobody uses. Waits while other steps, of whatever process, use them all.
    pub(super) async fn take(&self) -> Result<Lease, SandboxError> {
        let mut told = false;
        loop {
            let (mut refusal, mut busy) = (None, false);
            for uid in self.uids.iter() {
                match self.try_take(uid) {
                    Ok(Some(lease)) => return Ok(lease),
                    Ok(None) => busy = true,
                    // Perhaps another one is to be had.
                    Err(error) => drop(refusal.get_or_insert(error)),
                }
            }
            match refusal {
                Some(error) if !busy => return Err(error),
                _ => {}
            }
            if !told {
                tracing::info!("waiting for one of the uids {}, which other steps are using", self.uids);
                told = true;
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }

    fn try_take(&self, uid: u32) -> Result<Option<Lease>, SandboxError> {
        let lock = |name: &str| match Lock::try_take(self.host.lock_dir(), name)? {
            Taken::Ours(lock) => Ok::<_, SandboxError>(Some(lock)),
            Taken::By(_) => Ok(None),
        };
        let Some(taken) = lock(&lock_name(uid))? else { return Ok(None) };
        let home = if platform::HOMES_ARE_PRIVATE { None } else { lock("home")? };
        if home.is_none() && !platform::HOMES_ARE_PRIVATE {
            return Ok(None);
        }
        Ok(Some(Lease { account: self.account(uid)?, _uid: taken, _home: home }))
    }

    fn account(&self, uid: u32) -> Result<Account, SandboxError> {
        let mut accounts = self.accounts.lock();
        if let Some(account) = accounts.get(&uid) {
            return Ok(account.clone());
        }
        let account = pool::account(&*self.host, uid, &self.home)?;
        accounts.insert(uid, account.clone());
        Ok(account)
    }
}

/// Held by whoever runs a step as that user.
pub(super) fn lock_name(uid: u32) -> String {
    format!("uid-{uid}")
}
