//! What the black-box tests stand on: the two binaries as a user starts them, scratch trees, mounts that are
//! taken down again, and code run with another user's rights.
//!
//! Every helper panics on failure, as a test does: what it could not do is the test's failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub mod binary;
pub mod build;
pub mod build_user;
pub mod compare;
pub mod containers;
pub mod copying;
pub mod handles;
pub mod killing;
pub mod lease;
pub mod listing;
pub mod memory;
pub mod mount;
pub mod mountinfo;
pub mod nameless;
pub mod observe;
pub mod pool;
pub mod process;
pub mod random;
pub mod require;
pub mod scratch;
pub mod unmount;
pub mod user;
pub mod world;

pub use build::Build;
pub use build_user::BuildUser;
pub use compare::Twin;
pub use containers::Containers;
pub use mount::Mount;
pub use pool::Pool;
pub use require::{Need, require};
pub use scratch::Scratch;
pub use unmount::Unmount;
pub use user::User;
pub use world::World;
