//! step cost
fn main() {}
