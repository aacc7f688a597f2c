//! macOS: every command that manages its users and ends their processes.
//!
//! Compiled on other systems too when testing, where a recording stands in for the machine.
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::run::{Run, SystemRun};
use super::{Account, Host, HostError, Process, database};
use obuilderfs::mountinfo::Mount;

/// A Mac, as its commands show it.
#[derive(Debug, Default)]
pub struct MacHost<R = SystemRun> {
    run: R,
}

/// How often a user's processes are killed before it is given up, and the pause in between.
const KILL_ROUNDS: u32 = 100;
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// macOS has no mount namespaces: a mount is seen by all.
///
/// # Errors
/// Never.
pub fn enter_private_mount_namespace() -> Result<(), HostError> {
    Ok(())
}

impl<R: Run> MacHost<R> {
    /// With `run` to run the commands.
    pub fn new(run: R) -> Self {
        Self { run }
    }

    /// The temporary directory macOS gives the user, `/var/folders/…/T`. Asking for it makes it.
    ///
    /// # Errors
    /// The command failed.
    pub fn temp_dir(&self, name: &str) -> Result<PathBuf, HostError> {
        let words = ["su", "-l", name, "-c", "getconf DARWIN_USER_TEMP_DIR"];
        let answer = self.run.must(&words)?;
        let path = PathBuf::from(answer.trim_end_matches('\n'));
        if path.is_absolute() {
            return Ok(path);
        }
        Err(HostError::Answer { command: words.join(" "), answer })
    }

    /// Makes `link` a symlink to `target`, in place of the link that is there (`-h`: not inside its target).
    ///
    /// # Errors
    /// The command failed.
    pub fn replace_link(&self, target: &Path, link: &Path) -> Result<(), HostError> {
        self.run.must(&["/bin/ln", "-sfh", &target.to_string_lossy(), &link.to_string_lossy()])?;
        Ok(())
    }

    /// What is mounted at exactly `point`: the last line of mount(8) that names it, `SOURCE on POINT (TYPE, …)`.
    ///
    /// # Errors
    /// The command failed.
    pub fn mounted_at(&self, point: &Path) -> Result<Option<Mount>, HostError> {
        let middle = format!(" on {} (", point.display());
        let answer = self.run.must(&["mount"])?;
        let found = answer.lines().rev().find_map(|line| line.split_once(&middle));
        Ok(found.map(|(source, options)| Mount {
            point: point.to_owned(),
            kind: options.split([',', ')']).next().unwrap_or_default().to_owned(),
            source: source.into(),
        }))
    }

    /// Takes away what is mounted at `point`, in use or not.
    ///
    /// # Errors
    /// The command failed.
    pub fn unmount(&self, point: &Path) -> Result<(), HostError> {
        self.run.must(&["umount", "-f", &point.to_string_lossy()]).map(drop)
    }

    fn set(&self, record: &str, key: &str, value: &str) -> Result<(), HostError> {
        self.run.must(&["dscl", ".", "-create", record, key, value]).map(drop)
    }

    fn fill(&self, record: &str, account: &Account) -> Result<(), HostError> {
        self.set(record, "UniqueID", &account.uid.to_string())?;
        self.set(record, "PrimaryGroupID", &account.gid.to_string())?;
        self.set(record, "UserShell", &account.shell.to_string_lossy())?;
        self.set(record, "NFSHomeDirectory", &account.home.to_string_lossy())?;
        self.set(record, "RealName", &account.gecos)?;
        self.set(record, "Password", "*")?;
        self.set(record, "IsHidden", "1")
    }
}

/// The program, and its first arguments, that run `script` in a login shell of the user `name`. The arguments
/// that follow are the script's `$0`, `$1`, ….
pub fn login<'a>(name: &'a str, script: &'a str) -> (&'static str, [&'a str; 5]) {
    ("su", ["-l", name, "-c", "--", script])
}

impl<R: Run> Host for MacHost<R> {
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
        self.run.must(&["dseditgroup", "-o", "create", "-r", "obuilder build users", name])?;
        let words = ["dscl", ".", "-read", &format!("/Groups/{name}"), "PrimaryGroupID"];
        let answer = self.run.must(&words)?;
        let gid = answer.trim().strip_prefix("PrimaryGroupID:").and_then(|gid| gid.trim().parse().ok());
        gid.ok_or_else(|| HostError::Answer { command: words.join(" "), answer })
    }

    fn create_account(&self, account: &Account) -> Result<(), HostError> {
        let record = format!("/Users/{}", account.name);
        self.run.must(&["dscl", ".", "-create", &record])?;
        self.fill(&record, account).inspect_err(|_| {
            // Half an account would later be taken for a whole one.
            let _ = self.delete_account(&account.name);
        })?;
        self.run.must(&["dscacheutil", "-flushcache"]).map(drop)
    }

    fn delete_account(&self, name: &str) -> Result<(), HostError> {
        self.run.must(&["dscl", ".", "-delete", &format!("/Users/{name}")]).map(drop)
    }

    fn processes_of(&self, uid: u32) -> Result<Vec<Process>, HostError> {
        let words = ["ps", "-U", &uid.to_string(), "-o", "pid=,stat=,comm="];
        // Without a process to show, ps exits 1 and says nothing.
        let answer = self.run.run(&words)?;
        if answer.code != 0 && !answer.stderr.is_empty() {
            return self.run.must(&words).map(|_| Vec::new());
        }
        answer.stdout.lines().filter_map(|line| listed(line, &words).transpose()).collect()
    }

    fn kill_all(&self, uid: u32) -> Result<Vec<Process>, HostError> {
        let mut killed = self.processes_of(uid)?;
        let mut left = killed.clone();
        for _ in 0..KILL_ROUNDS {
            if left.is_empty() {
                return Ok(killed);
            }
            // kill(-1) as the user fails on some releases; pkill exits 1 when there was nobody to kill.
            self.run.run(&["pkill", "-9", "-U", &uid.to_string()])?;
            std::thread::sleep(KILL_PAUSE);
            left = self.processes_of(uid)?;
            killed.extend(left.iter().filter(|p| !killed.contains(p)).cloned().collect::<Vec<_>>());
        }
        Err(HostError::WillNotDie { uid, left })
    }

    fn build_home(&self) -> &Path {
        Path::new("/Users/obuilder")
    }

    fn lock_dir(&self) -> &Path {
        Path::new("/var/run/obuilder-locks")
    }
}

/// One line of `ps -o pid=,stat=,comm=`; `None` for a zombie.
fn listed(line: &str, words: &[&str]) -> Result<Option<Process>, HostError> {
    let unexpected = || HostError::Answer { command: words.join(" "), answer: line.to_owned() };
    let (pid, rest) = line.trim_start().split_once(' ').ok_or_else(unexpected)?;
    let (stat, comm) = rest.trim_start().split_once(' ').ok_or_else(unexpected)?;
    let pid = pid.parse().map_err(|_| unexpected())?;
    let name = comm.trim().rsplit('/').next().unwrap_or_default().to_owned();
    Ok((!stat.starts_with('Z')).then_some(Process { pid, name }))
}

#[cfg(test)]
mod tests {
    use super::super::recording::Recording;
    use super::*;

    fn account() -> Account {
        Account {
            name: "obuilder705".into(),
            uid: 705,
            gid: 600,
            home: "/Users/obuilder".into(),
            shell: "/bin/bash".into(),
            gecos: "obuilder build user".into(),
        }
    }

    #[test]
    fn an_account_is_made_hidden_and_without_a_password() {
        let host = MacHost::new(Recording::default());
        host.create_account(&account()).unwrap();
        assert_eq!(
            host.run.ran(),
            [
                "dscl . -create /Users/obuilder705",
                "dscl . -create /Users/obuilder705 UniqueID 705",
                "dscl . -create /Users/obuilder705 PrimaryGroupID 600",
                "dscl . -create /Users/obuilder705 UserShell /bin/bash",
                "dscl . -create /Users/obuilder705 NFSHomeDirectory /Users/obuilder",
                "dscl . -create /Users/obuilder705 RealName obuilder build user",
                "dscl . -create /Users/obuilder705 Password *",
                "dscl . -create /Users/obuilder705 IsHidden 1",
                "dscacheutil -flushcache",
            ]
        );
    }

    #[test]
    fn an_account_that_cannot_be_finished_is_taken_back() {
        let refuses = Recording::default().answers("dscl . -create /Users/obuilder705 PrimaryGroupID", 1, "");
        let host = MacHost::new(refuses);
        assert!(matches!(host.create_account(&account()), Err(HostError::Failed { .. })));
        assert_eq!(host.run.ran().last().unwrap(), "dscl . -delete /Users/obuilder705");
    }

    #[test]
    fn a_group_gets_the_gid_the_system_chose() {
        let host = MacHost::new(Recording::default().answers("dscl . -read", 0, "PrimaryGroupID: 701\n"));
        assert_eq!(host.create_group("obuilder").unwrap(), 701);
        assert_eq!(
            host.run.ran(),
            [
                "dseditgroup -o create -r obuilder build users obuilder",
                "dscl . -read /Groups/obuilder PrimaryGroupID",
            ]
        );
        let host = MacHost::new(Recording::default().answers("dscl . -read", 0, "nonsense"));
        assert!(matches!(host.create_group("obuilder"), Err(HostError::Answer { .. })));
    }

    #[test]
    fn processes_are_killed_until_none_is_left_and_each_is_named_once() {
        let recording = Recording::default()
            .answers("ps", 0, "  12 S    /bin/sleep\n  13 Ss+  /Users/x/My App\n  14 Z    (make)\n")
            .answers("ps", 0, "  12 S    /bin/sleep\n  15 R    sh\n")
            .answers("ps", 1, "");
        let host = MacHost::new(recording);
        let killed = host.kill_all(705).unwrap();
        assert_eq!(super::super::names(&killed), "sleep (12), My App (13), sh (15)");
        assert_eq!(
            host.run.ran(),
            [
                "ps -U 705 -o pid=,stat=,comm=",
                "pkill -9 -U 705",
                "ps -U 705 -o pid=,stat=,comm=",
                "pkill -9 -U 705",
                "ps -U 705 -o pid=,stat=,comm=",
            ]
        );
    }

    #[test]
    fn the_temporary_directory_is_asked_for_as_the_user() {
        let host = MacHost::new(Recording::default().answers("su", 0, "/var/folders/zz/T/\n"));
        assert_eq!(host.temp_dir("obuilder705").unwrap(), Path::new("/var/folders/zz/T/"));
        assert_eq!(host.run.ran(), ["su -l obuilder705 -c getconf DARWIN_USER_TEMP_DIR"]);
        let host = MacHost::new(Recording::default().answers("su", 0, "motd\n"));
        assert!(matches!(host.temp_dir("obuilder705"), Err(HostError::Answer { .. })));
    }

    #[test]
    fn the_last_mount_of_a_point_is_found_and_unmounted() {
        let table = "/dev/disk1 on / (apfs, local)\n/run/a on /usr/local (macfuse, nodev)\n\
                     /run/my board on /usr/local (macfuse_obuilderfs, nodev, nosuid)\n";
        let host = MacHost::new(Recording::default().answers("mount", 0, table));
        let found = host.mounted_at(Path::new("/usr/local")).unwrap().unwrap();
        assert_eq!(
            (found.source.to_str(), found.kind.as_str()),
            (Some("/run/my board"), "macfuse_obuilderfs")
        );
        assert_eq!(host.mounted_at(Path::new("/usr")).unwrap(), None);
        host.unmount(Path::new("/usr/local")).unwrap();
        assert_eq!(host.run.ran(), ["mount", "mount", "umount -f /usr/local"]);
    }

    #[test]
    fn a_step_is_a_login_by_su() {
        let (program, words) = login("obuilder705", "echo \"$0\"");
        assert_eq!((program, words), ("su", ["-l", "obuilder705", "-c", "--", "echo \"$0\""]));
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let host = MacHost::new(Recording::default());
        host.replace_link(Path::new("/Volumes/tank/x/rootfs"), Path::new("/Users/obuilder")).unwrap();
        assert_eq!(host.run.ran(), ["/bin/ln -sfh /Volumes/tank/x/rootfs /Users/obuilder"]);
    }
}
