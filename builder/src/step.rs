//! What a step is made of, and the id that follows from it.
mod context;
pub mod id;
mod input;
pub mod manifest;

pub use context::{Context, MissingSecret};
pub use id::StepId;
pub use input::{CopyError, CopyInput, RunInput, Secret, from_id};
pub use manifest::Manifest;

#[cfg(test)]
mod golden;
