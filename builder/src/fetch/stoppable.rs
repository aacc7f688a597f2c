//! Reading that ends when nobody wants what is fetched any more.
use std::io::{self, Read};

use super::{FetchError, Request};
use crate::sandbox::Cancel;
use crate::transfer::TransferError;

/// Fails once it is to stop.
pub(super) struct Stoppable<'a, R> {
    from: R,
    cancel: &'a Cancel,
}

impl<'a, R> Stoppable<'a, R> {
    pub(super) fn new(from: R, cancel: &'a Cancel) -> Self {
        Self { from, cancel }
    }
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        self.from.read(buffer)
    }
}

/// What failed because it was stopped was stopped.
pub(super) fn stopped(error: TransferError, request: &Request) -> FetchError {
    if request.cancel.is_cancelled() { FetchError::Cancelled } else { error.into() }
}
