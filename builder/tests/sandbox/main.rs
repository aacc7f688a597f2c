//! The user sandbox on the real machine: real users, processes and mounts. Needs root.
#![cfg(target_os = "linux")]
mod ending;
mod fixture;
mod secrets;
mod surroundings;
