//! `obuilder macos`: builds a spec as throw-away users.
use std::sync::Arc;

use clap::Args;

use super::building;
use super::error::CommandError;
use super::images::BaseImages;
use super::input::Input;
use super::place::Place;
use super::rights::require_root;
use super::users::BuildUsers;
use crate::engine::Builder;
use crate::fetch::HomeTemplates;
use crate::host::enter_private_mount_namespace;

/// Where results are kept if no place is named.
const STORE: &str = "/var/lib/obuilder";

/// Build a spec.
#[derive(Args)]
pub(super) struct Macos {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    users: BuildUsers,
    #[command(flatten)]
    images: BaseImages,
}

impl Macos {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        let order = self.input.order()?;
        require_root("making users and mounts")?;
        // Before any thread is started: what the build mounts is nobody else's to see.
        enter_private_mount_namespace().map_err(environment)?;
        let store = self.place.open(STORE)?;
        if store.mounts_drafts() {
            self.users.see_own_mounts()?;
        }
        let sandbox = self.users.sandbox(&store.dir().join("state/sandbox"))?;
        let fetch = Arc::new(HomeTemplates::new(self.images.dir()).and(Arc::clone(&store)));
        let builder = Builder::new(store, Arc::new(sandbox), fetch);
        building::run(&builder, &order)
    }
}

fn environment(error: impl std::fmt::Display) -> CommandError {
    CommandError::environment(error.to_string())
}
