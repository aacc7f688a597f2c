//! Base images that are whole root file systems: docker's, or a place of this machine.
use super::environment::Environment;
use super::{Fetch, FetchError, Request, docker};

/// `(from NAME)`: an image of the docker daemon.
#[derive(Debug, Default)]
pub struct Images;

impl Fetch for Images {
    fn fetch(&self, request: Request) -> Result<Environment, FetchError> {
        docker::fetch(&request)
    }
}
