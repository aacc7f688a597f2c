//! `from`: the base image, and the variables it brings.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::output::Output;
use super::{Build, BuildError};
use crate::fetch::Order;
use crate::fetch::environment::{self, Environment};
use crate::spec::User;
use crate::step::{StepId, from_id};
use crate::store::{Claim, Finished};

impl Build<'_, '_> {
    /// The result of `(from NAME)`, and the image's variables.
    pub(super) async fn base(&mut self, name: &OsString) -> Result<(StepId, Environment), BuildError> {
        let id = from_id(name);
        let result = match self.cached(&id)? {
            Some(found) => found,
            None => self.fetch(&id, name).await?,
        };
        let env = saved_environment(&result.env())?;
        Ok((id, env))
    }

    async fn fetch(&mut self, id: &StepId, name: &OsString) -> Result<Finished, BuildError> {
        let draft = match self.claim(id, None).await? {
            Claim::Cached(found) => return Ok(found),
            Claim::Build(draft) => draft,
        };
        let engine = self.engine;
        let (mut output, writer) = Output::open(draft.log())?;
        let order = Order {
            name: name.clone(),
            rootfs: draft.rootfs(),
            owner: engine.sandbox.owner(&User::default())?,
            output: writer,
            cancel: engine.cancel.clone(),
        };
        let fetch = engine.fetch.clone();
        let fetched = engine.off_thread(move || {
            let env = fetch.fetch(order)?;
            write(&draft.env(), environment::to_text(&env).as_slice())?;
            Ok::<_, BuildError>(draft)
        });
        let draft = output.follow_while(fetched, self.log).await???;
        output.stored()?;
        self.keep(id, draft)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let written = File::create(path).and_then(|mut file| io::Write::write_all(&mut file, bytes));
    written.map_err(|error| BuildError::Io { path: path.to_owned(), error })
}

/// The variables saved with a result; none if it has no such file.
fn saved_environment(path: &Path) -> Result<Environment, BuildError> {
    match fs::read(path) {
        Ok(text) => environment::parse(&text)
            .map_err(|error| BuildError::Environment { path: path.to_owned(), error: Box::new(error) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Environment::new()),
        Err(error) => Err(BuildError::Io { path: path.to_owned(), error }),
    }
}
