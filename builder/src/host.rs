//! What the builder asks of the machine: accounts, and an end to a user's processes.
//!
//! [`Host`] is the whole of it. The commands are spelled in one file a system, over the trait [`run::Run`],
//! so that a recording can stand in for the machine.
use std::path::{Path, PathBuf};

mod database;
pub mod lock;
#[cfg(test)]
pub(crate) mod recording;
pub mod run;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::enter_private_mount_namespace;
/// The machine this runs on.
#[cfg(target_os = "linux")]
pub type SystemHost = linux::LinuxHost<run::SystemRun>;

#[cfg(any(target_os = "macos", test))]
pub mod macos;
#[cfg(target_os = "macos")]
pub use macos::enter_private_mount_namespace;
/// The machine this runs on.
#[cfg(target_os = "macos")]
pub type SystemHost = macos::MacHost<run::SystemRun>;

/// A user of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// Home directory, as the user database has it.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
    /// The comment field: who it is, in words.
    pub gecos: String,
}

/// A process of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its name, as `ps -o comm` shows it.
    pub name: String,
}

/// The machine.
pub trait Host: Send + Sync {
    /// The account of that name.
    ///
    /// # Errors
    /// The user database cannot be read.
    fn account_named(&self, name: &str) -> Result<Option<Account>, HostError>;

    /// The account with that uid.
    ///
    /// # Errors
    /// The user database cannot be read.
    fn account_of(&self, uid: u32) -> Result<Option<Account>, HostError>;

    /// The gid of the group of that name.
    ///
    /// # Errors
    /// The group database cannot be read.
    fn group_named(&self, name: &str) -> Result<Option<u32>, HostError>;

    /// Makes a group with a gid of the system's choice, and returns that.
    ///
    /// # Errors
    /// The command failed.
    fn create_group(&self, name: &str) -> Result<u32, HostError>;

    /// Makes an account that nobody can log in to. Its home is not made.
    ///
    /// # Errors
    /// The command failed.
    fn create_account(&self, account: &Account) -> Result<(), HostError>;

    /// Removes an account; its home stays.
    ///
    /// # Errors
    /// The command failed.
    fn delete_account(&self, name: &str) -> Result<(), HostError>;

    /// The processes of `uid`, those that are dead but not yet waited for left out.
    ///
    /// # Errors
    /// The processes cannot be listed.
    fn processes_of(&self, uid: u32) -> Result<Vec<Process>, HostError>;

    /// Kills every process of `uid` until none is left, and returns what was killed.
    ///
    /// # Errors
    /// Some will not die ([`HostError::WillNotDie`]), or they cannot be listed.
    fn kill_all(&self, uid: u32) -> Result<Vec<Process>, HostError>;

    /// Where the home of every build user appears: `/home/obuilder`, or `/Users/obuilder` on macOS.
    fn build_home(&self) -> &Path;

    /// Where locks are kept that hold for the whole machine and end with it.
    fn lock_dir(&self) -> &Path;
}

/// Why the machine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A command could not be started.
    #[error("cannot run {command}: {source}")]
    Start {
        /// Its words.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// A command failed.
    #[error("{command} failed ({status}): {message}")]
    Failed {
        /// Its words.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        message: String,
    },
    /// A command's answer was not understood.
    #[error("{command} answered what was not expected: {answer:?}")]
    Answer {
        /// Its words.
        command: String,
        /// What it said.
        answer: String,
    },
    /// A look-up in the user or group database failed.
    #[error("cannot look up {what}: {source}")]
    LookUp {
        /// Who was looked up.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Processes that survive SIGKILL.
    #[error("processes of uid {uid} will not die: {}", names(left))]
    WillNotDie {
        /// Whose they are.
        uid: u32,
        /// Which they are.
        left: Vec<Process>,
    },
    /// The process may not do what needs root, or root in a container that is not allowed it.
    #[error("{what}: {source}; obuilder needs root, and in a container the right to mount (CAP_SYS_ADMIN)")]
    NotPermitted {
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// `sleep (12), make (14)`.
pub fn names(processes: &[Process]) -> String {
    let each: Vec<String> = processes.iter().map(|p| format!("{} ({})", p.name, p.pid)).collect();
    each.join(", ")
}
