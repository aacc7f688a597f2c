//! The `-o` options, as other FUSE file systems take them.
use std::path::PathBuf;
use std::time::Duration;

/// What `-o` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `ro`.
    pub read_only: bool,
    /// `noexec`.
    pub no_exec: bool,
    /// `noatime`.
    pub no_atime: bool,
    /// `remount`: the mount that is there gets what the kernel can change of these options.
    pub remount: bool,
    /// `fallback=DIR`, for callers that can give no third argument (`mount`, `/etc/fstab`).
    pub fallback: Option<PathBuf>,
    /// `fsname=NAME`: the source shown in the mount table instead of the scoreboard.
    pub fsname: Option<String>,
    /// `entry_timeout=S`: for how long the kernel uses a name below the root without asking. 0 unless given.
    pub entry_timeout: Duration,
    /// `attr_timeout=S`: the same for attributes.
    pub attr_timeout: Duration,
    /// `negative_timeout=S`: the same for names that were not there.
    pub negative_timeout: Duration,
    /// Whether the kernel may keep names and attributes below the root because changes made behind the mount
    /// are followed. Off once one of the time-outs above is given.
    pub follow_changes: bool,
    /// `threads=N`.
    pub threads: usize,
    /// Off with `nopassthrough`.
    pub passthrough: bool,
}

impl Default for Options {
    fn default() -> Self {
        // More than there are cores: one that looks a name up may wait until changes have reached the kernel.
        let cores = std::thread::available_parallelism().map_or(8, usize::from);
        Self {
            read_only: false,
            no_exec: false,
            no_atime: false,
            remount: false,
            fallback: None,
            fsname: None,
            entry_timeout: Duration::ZERO,
            attr_timeout: Duration::ZERO,
            negative_timeout: Duration::ZERO,
            follow_changes: true,
            threads: cores.clamp(8, 16),
            passthrough: true,
        }
    }
}

/// An option that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionError {
    /// Not known.
    #[error("unknown mount option '{0}'; known: {KNOWN}")]
    Unknown(String),
    /// A value that cannot be read.
    #[error("mount option {option}={value}: {expected}")]
    Value {
        /// The option.
        option: String,
        /// What was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
}

const KNOWN: &str = "ro, rw, exec, noexec, atime, noatime, remount, fallback=DIR, fsname=NAME, entry_timeout=S, \
                     attr_timeout=S, negative_timeout=S, threads=N, nopassthrough";

/// Options that `mount(8)` and `mount.fuse3(8)` pass along or that ask for what we do anyway. `suid` and `dev`
/// are among them: set-id bits and devices never have an effect through the mount.
const WITHOUT_EFFECT: [&str; 36] = [
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "async",
    "sync",
    "dirsync",
    "lazytime",
    "nolazytime",
    "norelatime",
    "nostrictatime",
    "silent",
    "loud",
    "nomand",
    "symfollow",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "group",
    "nogroup",
    "owner",
    "noowner",
    "_netdev",
    "nofail",
    "allow_other",
    "default_permissions",
    "nonempty",
    "big_writes",
    "intr",
    "use_ino",
    "diratime",
    "nodiratime",
];

/// Options for systemd and for tools around mount(8).
fn is_others(option: &str) -> bool {
    option.starts_with("x-") || option.starts_with("X-")
}

impl Options {
    /// Adds a comma-separated list. A later option wins over an earlier one.
    ///
    /// # Errors
    /// An option is unknown or its value makes no sense.
    pub fn add(&mut self, list: &str) -> Result<(), OptionError> {
        list.split(',').filter(|option| !option.is_empty()).try_for_each(|option| self.add_one(option))
    }

    fn add_one(&mut self, option: &str) -> Result<(), OptionError> {
        if let Some((name, value)) = option.split_once('=') {
            return self.add_value(name, value);
        }
        match option {
            "ro" => self.read_only = true,
            "noexec" => self.no_exec = true,
            "noatime" => self.no_atime = true,
            "nopassthrough" => self.passthrough = false,
            "remount" => self.remount = true,
            "rw" => self.read_only = false,
            "exec" => self.no_exec = false,
            "atime" | "relatime" | "strictatime" => self.no_atime = false,
            known if WITHOUT_EFFECT.contains(&known) || is_others(known) => {}
            unknown => return Err(OptionError::Unknown(unknown.to_owned())),
        }
        Ok(())
    }

    /// Time-outs are given: the kernel goes by them alone.
    fn fix_timeouts(&mut self) -> &mut Self {
        self.follow_changes = false;
        self
    }

    fn add_value(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let wrong =
            |expected| OptionError::Value { option: name.to_owned(), value: value.to_owned(), expected };
        let seconds = || {
            let parsed = value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
            parsed.ok_or_else(|| wrong("expected a number of seconds, such as 1 or 0.5"))
        };
        match name {
            "fallback" => self.fallback = Some(PathBuf::from(value)),
            "fsname" => self.fsname = Some(value.to_owned()),
            "entry_timeout" => self.fix_timeouts().entry_timeout = seconds()?,
            "attr_timeout" => self.fix_timeouts().attr_timeout = seconds()?,
            "negative_timeout" => self.fix_timeouts().negative_timeout = seconds()?,
            "threads" | "max_threads" => {
                let threads = value.parse().ok().filter(|n| (1..=64).contains(n));
                self.threads = threads.ok_or_else(|| wrong("expected a number from 1 to 64"))?;
            }
            "subtype" | "comment" | "uhelper" | "helper" => {}
            // What the kernel shows of a FUSE mount, and mount(8) repeats to remount it.
            "user_id" | "group_id" | "rootmode" | "max_read" | "blksize" => {}
            known if is_others(known) => {}
            _ => return Err(OptionError::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_sets_what_it_names_and_the_last_word_wins() {
        let mut options = Options::default();
        options.add("ro,noexec,rw,,attr_timeout=0.5").unwrap();
        options.add("threads=3,fallback=/a b").unwrap();
        assert!(!options.read_only && options.no_exec);
        assert_eq!(options.attr_timeout, Duration::from_millis(500));
        assert_eq!((options.threads, options.fallback), (3, Some("/a b".into())));
    }

    #[test]
    fn what_mount_passes_along_is_accepted() {
        Options::default()
            .add("rw,nosuid,nodev,suid,dev,_netdev,x-systemd.automount,allow_other,subtype=x")
            .unwrap();
    }

    #[test]
    fn an_unknown_option_or_value_is_named() {
        let error = Options::default().add("rw,colour").unwrap_err().to_string();
        assert!(error.starts_with("unknown mount option 'colour'; known: ro,"), "{error}");
        let error = Options::default().add("threads=none").unwrap_err().to_string();
        assert_eq!(error, "mount option threads=none: expected a number from 1 to 64");
        for bad in ["attr_timeout=-1", "attr_timeout=nan", "attr_timeout=", "colour=red"] {
            assert!(Options::default().add(bad).is_err(), "{bad}");
        }
    }
}
