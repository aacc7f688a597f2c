//! `obuilder build`: builds a spec, each step in a container.
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::building;
use super::error::CommandError;
use super::input::Input;
use super::place::Place;
use super::rights::require_root;
use crate::engine::Builder;
use crate::fetch::Images;
use crate::host::enter_private_mount_namespace;
use crate::sandbox::runc::{RuncConfig, RuncSandbox};

/// Where results are kept if no place is named.
const STORE: &str = "/var/lib/obuilder-images";

/// Build a spec.
#[derive(Args)]
pub(super) struct Build {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    containers: Containers,
}

/// How steps are run.
#[derive(Args)]
pub(super) struct Containers {
    /// Let fsync and its like do nothing in steps: a build is quick again where they are slow
    #[arg(long)]
    fast_sync: bool,
    /// What runs containers: a program in PATH, as runc or crun, or its path
    #[arg(long, value_name = "PROGRAM", default_value = "runc")]
    runtime: PathBuf,
}

impl Build {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let order = self.input.order()?;
        building::run(&builder(&self.place, &self.containers)?, &order)
    }
}

/// A builder that runs steps in containers. Calls for root, and for being the first: no thread may run yet.
pub(super) fn builder(place: &Place, containers: &Containers) -> Result<Builder, CommandError> {
    require_root("making containers")?;
    // What the build mounts is nobody else's to see.
    enter_private_mount_namespace().map_err(|error| CommandError::environment(error.to_string()))?;
    let store = place.open(STORE)?;
    let config = RuncConfig {
        runtime: containers.runtime.clone(),
        state: store.dir().join("state/sandbox"),
        fast_sync: containers.fast_sync,
    };
    Ok(Builder::new(store, Arc::new(RuncSandbox::new(config)), Arc::new(Images)))
}
