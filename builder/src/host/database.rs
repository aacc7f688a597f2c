//! Look-ups in the user and group databases, through the C library as every program makes them.
use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

use super::{Account, HostError};

/// The account of that name.
///
/// # Errors
/// The database cannot be read.
pub(super) fn account_named(name: &str) -> Result<Option<Account>, HostError> {
    found(User::from_name(name), || format!("user {name}"))
}

/// The account with that uid.
///
/// # Errors
/// The database cannot be read.
pub(super) fn account_of(uid: u32) -> Result<Option<Account>, HostError> {
    found(User::from_uid(Uid::from_raw(uid)), || format!("uid {uid}"))
}

/// The gid of the group of that name.
///
/// # Errors
/// The database cannot be read.
pub(super) fn group_named(name: &str) -> Result<Option<u32>, HostError> {
    match Group::from_name(name) {
        Ok(group) => Ok(group.map(|group| group.gid.as_raw())),
        Err(errno) => none_or_error(errno, || format!("group {name}")),
    }
}

fn found(answer: nix::Result<Option<User>>, what: impl Fn() -> String) -> Result<Option<Account>, HostError> {
    match answer {
        Ok(user) => Ok(user.map(Account::from)),
        Err(errno) => none_or_error(errno, what),
    }
}

/// getpwnam(3): "0 or ENOENT or ESRCH or EBADF or EPERM or …: The given name or uid was not found."
fn none_or_error<T>(errno: Errno, what: impl Fn() -> String) -> Result<Option<T>, HostError> {
    match errno {
        Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM => Ok(None),
        _ => Err(HostError::LookUp { what: what(), source: errno.into() }),
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: Gid::as_raw(user.gid),
            home: user.dir,
            shell: user.shell,
            gecos: user.gecos.to_string_lossy().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_and_nobody_by_a_made_up_name() {
        let root = account_of(0).unwrap().unwrap();
        assert_eq!((root.name.as_str(), root.uid, root.gid), ("root", 0, 0));
        assert_eq!(account_named("root").unwrap(), Some(root));
        assert_eq!(account_named("no-such-user-here").unwrap(), None);
        assert_eq!(group_named("no-such-group-here").unwrap(), None);
    }
}
