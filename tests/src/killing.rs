//! Programs killed at random moments.
//!
//! `OBUILDER_KILLS=200` kills so many; `OBUILDER_SEED=N` repeats the moments of an earlier run, as far as the machine
//! plays along.
use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::build::Ended;
use crate::process;

/// Moments to kill at, the same for the same seed.
#[derive(Debug)]
pub struct Moments {
    state: u64,
}

impl Moments {
    /// Those of `OBUILDER_SEED`, or others.
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("time");
        let seed = number("OBUILDER_SEED").unwrap_or(u64::from(now.subsec_nanos()) + 1);
        eprintln!("OBUILDER_SEED={seed}");
        Self { state: seed }
    }

    /// A time below `limit` (Marsaglia's xorshift).
    pub fn next(&mut self, limit: Duration) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        Duration::from_nanos(self.state % u64::try_from(limit.as_nanos()).expect("a short time").max(1))
    }
}

impl Default for Moments {
    fn default() -> Self {
        Self::new()
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// How many to kill: few where somebody waits, more where nobody does.
pub fn kills(few: u64, more: u64) -> u64 {
    let in_ci = env::var_os("CI").is_some_and(|ci| ci == "true");
    number("OBUILDER_KILLS").unwrap_or(if in_ci { more } else { few })
}

/// Starts `command`, kills it after `moment`, and returns its process id and what it had printed.
pub fn killed(command: &mut Command, moment: Duration) -> (u32, Ended) {
    let mut child: Child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    std::thread::sleep(moment);
    child.kill().expect("it can be killed");
    // Not to the end of its output: what it started may live a moment longer, and holds that open.
    let status = child.wait().expect("status");
    let mut said = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_to_string(&mut said).expect("output");
    (child.id(), Ended { code: status.code(), stdout: said, stderr: String::new() })
}

/// A build that nobody has begun.
pub fn not_begun() -> Ended {
    Ended { code: None, stdout: String::new(), stderr: String::new() }
}

/// Puts 20 files into the directory `source`, and `secret` into the file `token`.
pub fn plant(source: &Path, token: &Path, secret: &str) {
    for n in 0..20 {
        fs::write(source.join(format!("file-{n}")), format!("{n}\n").repeat(500)).expect("a file to copy");
    }
    fs::write(token, secret).expect("a secret");
}

/// Files below `store` that hold the secret, a line each.
pub fn tell_tales(store: &Path, secret: &str) -> String {
    let grep = process::output(Command::new("grep").args(["-rlaF", secret]).arg(store));
    String::from_utf8_lossy(&grep.stdout).into_owned()
}

/// The ids after `---> VERB "…"`.
pub fn ids(ended: &Ended, verb: &str) -> HashSet<String> {
    let start = format!("---> {verb} \"");
    let id = |line: &str| Some(line.strip_prefix(&start)?.split('"').next()?.to_owned());
    // The last line may have been cut off.
    ended.stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(id).collect()
}
