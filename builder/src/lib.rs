//! `obuilder`: builds specs step by step as throw-away users, snapshots each result, never repeats a step.
//!
//! Data flows one way: a [`spec`] is read, [`step`] turns it into ids and inputs, the [`engine`] asks the
//! [`store`] for each id and, where it is missing, lets a [`sandbox`] make it on this [`host`].
pub mod cli;
pub mod engine;
pub mod fetch;
pub mod host;
pub mod image;
pub mod sandbox;
pub mod spec;
pub mod step;
pub mod store;
pub mod transfer;
