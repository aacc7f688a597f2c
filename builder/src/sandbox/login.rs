//! The shell a step runs in: a login shell of the build user that has read `~/.obuilder_profile.sh`.
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::Command;
use crate::host::Account;

/// What the shell runs; `$0` is the working directory, `$1`… are `KEY=VALUE`s and then the command.
///
/// The profile is read in the home, as a login would; whatever it does to PATH or the directory, the command
/// finds `env` and starts where it should. `.` for `source`: every shell knows it.
pub const SCRIPT: &str = "[ -d \"$0\" ] || (umask 022 && exec /bin/mkdir -p -- \"$0\") || exit; \
     . ~/.obuilder_profile.sh && cd -- \"$0\" && unset OLDPWD && exec /usr/bin/env \"$@\"";

/// The PATH a login starts from.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The arguments that follow [`SCRIPT`]: the working directory as the step sees it, then the variables, then
/// the command.
pub fn arguments(command: &Command, workdir: &Path) -> Vec<OsString> {
    let assignments = command.env.iter().map(|(key, value)| assignment(key, value));
    let workdir = workdir.as_os_str().to_owned();
    std::iter::once(workdir).chain(assignments).chain(command.argv.iter().cloned()).collect()
}

/// What a login gives a program: nothing of the builder's own environment.
pub fn environment(account: &Account, temp_dir: &Path) -> Vec<(OsString, OsString)> {
    let pairs: [(&str, &OsStr); 6] = [
        ("HOME", account.home.as_os_str()),
        ("USER", account.name.as_ref()),
        ("LOGNAME", account.name.as_ref()),
        ("SHELL", account.shell.as_os_str()),
        ("TMPDIR", temp_dir.as_os_str()),
        ("PATH", PATH.as_ref()),
    ];
    pairs.map(|(key, value)| (key.into(), value.to_owned())).to_vec()
}

fn assignment(key: &OsStr, value: &OsStr) -> OsString {
    let mut whole = key.to_owned();
    whole.push("=");
    whole.push(value);
    whole
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::spec::User;

    fn command(argv: &[&str], env: &[(&str, &str)]) -> Command {
        Command {
            argv: argv.iter().map(OsString::from).collect(),
            workdir: "/".into(),
            env: env.iter().map(|(k, v)| (k.into(), v.into())).collect(),
            user: User::default(),
            host_network: true,
            caches: Vec::new(),
            secrets: Vec::new(),
            rootfs: "/nowhere".into(),
        }
    }

    /// Runs the script as a step would, in a home of its own, with the profile given.
    fn run(profile: Option<&str>, command: &Command, workdir: &str) -> (String, String, Option<i32>) {
        let home = tempfile::tempdir().unwrap();
        if let Some(profile) = profile {
            fs::write(home.path().join(".obuilder_profile.sh"), profile).unwrap();
        }
        let output = std::process::Command::new("/bin/bash")
            .args(["-c", SCRIPT])
            .args(arguments(command, &home.path().join(workdir)))
            .env("LC_ALL", "C")
            .env("HOME", home.path())
            .current_dir(home.path())
            .output()
            .unwrap();
        let home = home.path().to_str().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(home, "HOME");
        (text(output.stdout), text(output.stderr), output.status.code())
    }

    #[test]
    fn the_profile_is_read_and_the_specs_variables_win() {
        let command = command(&["sh", "-c", "echo $A $B; exit 3"], &[("A", "spec's"), ("C", "a b")]);
        let ran = run(Some("export A=profile B=profile"), &command, ".");
        assert_eq!(ran, ("spec's profile\n".into(), String::new(), Some(3)));
    }

    #[test]
    fn a_profile_that_is_missing_or_fails_fails_the_step() {
        let command = command(&["echo", "not reached"], &[]);
        let (stdout, stderr, code) = run(None, &command, ".");
        assert!(stderr.contains(".obuilder_profile.sh: No such file or directory"), "{stderr}");
        assert_eq!((stdout.as_str(), code), ("", Some(1)));
        assert_eq!(run(Some("false"), &command, "."), (String::new(), String::new(), Some(1)));
    }

    #[test]
    fn the_command_starts_in_the_working_directory_made_if_need_be() {
        let pwd = command(&["sh", "-c", "pwd; stat -c %a ."], &[]);
        let ran = run(Some("umask 077; cd /; PATH=/nowhere"), &pwd, "a b/c");
        assert_eq!(ran, ("".into(), "/usr/bin/env: 'sh': No such file or directory\n".into(), Some(127)));
        let ran = run(Some("umask 077; cd /"), &pwd, "a b/c");
        assert_eq!(ran, ("HOME/a b/c\n755\n".into(), String::new(), Some(0)));
        let (_, stderr, code) = run(Some(""), &pwd, ".obuilder_profile.sh/x");
        assert!(stderr.contains("Not a directory"), "{stderr}");
        assert_eq!(code, Some(1));
    }
}
