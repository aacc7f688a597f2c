//! `obuilder image create`: makes an image with a script.
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::placed;
use super::version::NewImage;
use crate::cli::error::CommandError;
use crate::cli::images::BaseImages;
use crate::cli::rights::require_root;
use crate::cli::users::BuildUsers;
use crate::cli::{building, input};
use crate::fetch::HomeTemplates;
use crate::host::enter_private_mount_namespace;
use crate::image::script::Recipe;

/// Make a version of an image with a script.
///
/// The script runs as a build user, in the home that becomes the image and with its own prefix, as steps do. Only
/// when it has succeeded is the image put in place, and (from NAME) means it.
#[derive(Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    image: NewImage,
    /// The script, which names its interpreter in its first line, as #!/bin/bash
    #[arg(long, value_name = "SCRIPT")]
    from_script: PathBuf,
    /// The image to begin with
    #[arg(long, value_name = "NAME[@VERSION]", default_value = "empty")]
    from: String,
    #[command(flatten)]
    users: BuildUsers,
    #[command(flatten)]
    images: BaseImages,
    /// The script's arguments
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

impl Create {
    pub(super) fn run(&self) -> Result<(), CommandError> {
        // Before anything is made: the commonest mistake.
        std::fs::File::open(&self.from_script)
            .map_err(|e| input::unreadable("script", &self.from_script, &e))?;
        require_root("making images")?;
        let shelf = self.images.shelf();
        let name = self.image.name(&shelf)?;
        enter_private_mount_namespace().map_err(|error| CommandError::environment(error.to_string()))?;
        let draft = shelf.draft(&name)?;
        let sandbox = self.users.sandbox(&draft.state())?;
        let homes = HomeTemplates::new(self.images.dir());
        let recipe = Recipe {
            from: self.from.clone(),
            script: self.from_script.clone(),
            arguments: self.arguments.clone(),
        };
        building::until_stopped(async |cancel| recipe.make(&draft, &homes, &sandbox, cancel).await)??;
        placed(&shelf.keep(draft, &name)?)
    }
}
