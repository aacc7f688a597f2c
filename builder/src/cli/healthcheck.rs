//! `obuilder healthcheck`: can this machine build?
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use parking_lot::Mutex;

use super::build::{Containers, builder};
use super::building;
use super::error::CommandError;
use super::place::Place;
use crate::engine::{Log, Order};
use crate::spec::{Op, Run, Spec};

/// Build a step that only says a word, and throw its result away.
#[derive(Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    containers: Containers,
    /// The image it is built from
    #[arg(long, value_name = "NAME", default_value = "busybox")]
    image: OsString,
}

/// What the step is to say.
const WORD: &str = "healthcheck";

impl Healthcheck {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        docker_answers(&self.image)?;
        let builder = builder(&self.place, &self.containers)?;
        let order = Order { spec: self.spec(), source: "/".into(), secrets: Vec::new() };
        let shown = Shown::default();
        let built = building::build(&builder, &order, &mut Log::new(shown.clone()));
        let log = shown.0.lock().clone();
        if built.is_err() {
            // Nobody is left to tell when this fails.
            let _ = io::stderr().write_all(&log);
        }
        let failed = |why: String| CommandError::environment(format!("healthcheck failed: {why}"));
        builder.store().delete(&built?).map_err(|error| failed(error.to_string()))?;
        if !log.split(|&b| b == b'\n').any(|line| line == WORD.as_bytes()) {
            return Err(failed("the step's output was lost".to_owned()));
        }
        writeln!(io::stdout(), "Healthcheck passed")
            .map_err(|error| failed(format!("cannot write to standard output: {error}")))
    }

    /// A step that was never built before.
    fn spec(&self) -> Spec {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let run = Run {
            cache: Vec::new(),
            network: Vec::new(),
            secrets: Vec::new(),
            shell: format!("echo {WORD} # {now}").into(),
        };
        let shell = Op::Shell(["/bin/sh", "-c"].map(OsString::from).to_vec());
        Spec { builds: Vec::new(), from: self.image.clone(), ops: vec![shell, Op::Run(run)] }
    }
}

/// The build's log, in memory.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An image that is in the store already would be no sign of docker's health.
fn docker_answers(image: &OsStr) -> Result<(), CommandError> {
    if image.as_encoded_bytes().contains(&b'/') && Path::new(image).exists() {
        return Ok(());
    }
    let answer = Command::new("docker").arg("version").stdin(Stdio::null()).output();
    let why = match answer {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        Err(error) => error.to_string(),
    };
    Err(CommandError::environment(format!("healthcheck failed: docker version: {why}"))
        .hint("start docker, or name a root file system with --image=/path/to/rootfs"))
}
