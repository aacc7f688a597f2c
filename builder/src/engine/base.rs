//! `from`: the base image, and the variables it brings.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::job::Task;
use super::jobs::Job;
use super::off_thread::off_thread;
use super::output::Output;
use super::work::Work;
use super::{Build, BuildError, Made, Workshop};
use crate::fetch::Request;
use crate::fetch::environment::{self, Environment};
use crate::spec::User;
use crate::step::from_id;
use crate::store::Draft;

impl Build<'_> {
    /// The result of `(from NAME)`, and the image's variables.
    pub(super) async fn base(&mut self, name: &OsString) -> Result<(Made, Environment), BuildError> {
        let id = from_id(name);
        let made = match self.cached(&id)? {
            Some(found) => found,
            None => self.made(Task { id, base: None, work: Work::Fetch(name.clone()) }).await?,
        };
        let env = saved_environment(&made.result.env())?;
        Ok((made, env))
    }
}

/// Gets the base image.
pub(super) async fn fetch(
    workshop: &Arc<Workshop>,
    name: OsString,
    draft: Box<dyn Draft>,
    job: &Arc<Job>,
) -> Result<Box<dyn Draft>, BuildError> {
    let (mut output, writer) = Output::open(&job.log, draft.log())?;
    let request = Request {
        name,
        rootfs: draft.rootfs(),
        owner: workshop.sandbox.owner(&User::default())?,
        output: writer,
        cancel: job.cancel.clone(),
    };
    let fetch = Arc::clone(&workshop.fetch);
    let fetched = off_thread(&job.cancel, move || {
        let env = fetch.fetch(request)?;
        write(&draft.env(), environment::to_text(&env).as_slice())?;
        Ok::<_, BuildError>(draft)
    });
    let draft = output.follow_while(fetched).await???;
    output.stored()?;
    Ok(draft)
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
