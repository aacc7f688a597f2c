//! `obuilderfs`: one mount point, and under it each user's own tree, found through a [`scoreboard`].
//!
//! A request travels `session` → `fuse` (decodes, encodes) → `fs` (the operations) → `view`, `views` and `nodes` (whose
//! tree, which object) → `caller` (with whose rights) → `backing` (the tree below).
mod answering;
mod backing;
mod caller;
mod changes;
pub mod cli;
mod daemon;
mod fs;
mod fuse;
pub mod mountinfo;
mod nodes;
pub mod options;
mod own_threads;
mod platform;
pub mod scoreboard;
pub mod session;
mod statistics;
mod view;
mod views;
