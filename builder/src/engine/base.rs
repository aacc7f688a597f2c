//! `from`: the base image, and the variables it brings.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{Build, BuildError};
use crate::fetch::environment::{self, Environment};
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
        let owner = self.engine.sandbox.owner()?;
        let (fetch, name) = (self.engine.fetch.clone(), name.clone());
        let fetched = self.off_thread(move || {
            let env = fetch.fetch(&name, &draft.rootfs(), owner)?;
            write(&draft.env(), environment::to_text(&env).as_slice())?;
            write(&draft.log(), b"")?;
            Ok::<_, BuildError>(draft)
        });
        let draft = fetched.await??;
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
