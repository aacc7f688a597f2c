//! A scheduler in one process: several builds at once on one store, with a time limit each.
//!
//! `cargo run -p obuilder --example scheduler -- STORE SOURCE SPEC…`, as root. Steps that the specs have in common are
//! run once. Of each build the log goes to `SPEC.log`. On Linux [`obuilder::sandbox::runc`] makes containers instead.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use obuilder::engine::{BuildError, Builder, Kind, Log, Order};
use obuilder::fetch::HomeTemplates;
use obuilder::host::{Host, SystemHost};
use obuilder::sandbox::{self, Cancel, UserConfig, UserSandbox, View};
use obuilder::spec::Spec;
use obuilder::store::{self, StoreUrl};

/// How long a build may take.
const LIMIT: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    // Steps are started as this program under another name.
    if let Some(code) = sandbox::reexec() {
        return code;
    }
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [store, source, specs @ ..] = args.as_slice() else {
        eprintln!("usage: scheduler STORE SOURCE SPEC…");
        return ExitCode::from(2);
    };
    match run(store, Path::new(source), specs) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("scheduler: {error}");
            ExitCode::from(3)
        }
    }
}

/// Builds all of `specs` at once, and gives how many failed.
fn run(store: &OsString, source: &Path, specs: &[OsString]) -> Result<usize, Box<dyn Error>> {
    let store = store::open(&StoreUrl::parse(store)?)?;
    let host = SystemHost::default();
    let home = host.build_home().to_owned();
    let config = UserConfig {
        uids: "705-712".parse()?,
        view: View::Direct { prefix: None },
        state: store.dir().join("state/sandbox"),
        executable: std::env::current_exe()?,
        home,
    };
    let sandbox = UserSandbox::new(config, Box::new(host))?;
    let builder = Builder::new(store, Arc::new(sandbox), Arc::new(HomeTemplates::new("/home".into())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut builds = tokio::task::JoinSet::new();
        for spec in specs {
            let order = Order {
                spec: Spec::parse(&fs::read(spec)?)?,
                source: source.to_owned(),
                secrets: Vec::new(),
            };
            let log = PathBuf::from(spec).with_extension("log");
            builds.spawn(one(builder.clone(), spec.clone(), order, Log::new(File::create(log)?)));
        }
        let ended = builds.join_all().await;
        Ok(ended.into_iter().filter(|done| !done).count())
    })
}

/// Builds `order`, and says how it went; whether it went well.
async fn one(builder: Builder, name: OsString, order: Order, mut log: Log) -> bool {
    let cancel = Cancel::default();
    let late = async {
        tokio::time::sleep(LIMIT).await;
        // Other builds that want the same step keep it.
        cancel.cancel();
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = builder.build(&order, &mut log, &cancel) => ended,
        never = late => never,
    };
    let name = name.display();
    match &ended {
        Ok(id) => println!("{name}: {id}"),
        Err(BuildError::Cancelled) => println!("{name}: took more than {} s", LIMIT.as_secs()),
        Err(error) if error.kind() == Kind::Machine => println!("{name}: not its fault: {error}"),
        Err(error) => println!("{name}: failed: {error}"),
    }
    ended.is_ok()
}
