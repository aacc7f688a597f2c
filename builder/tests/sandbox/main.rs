//! The user sandbox on the real machine: real users, processes and mounts. Needs root.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
mod caches;
mod ending;
mod file_system;
mod fixture;
mod secrets;
mod several_users;
mod surroundings;
