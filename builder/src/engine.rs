//! Runs a build: one step after the other, each from the store or through the sandbox.
