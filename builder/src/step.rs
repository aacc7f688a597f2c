//! What a step is made of, and the id that follows from it.
pub mod id;
pub mod manifest;

pub use id::StepId;
