//! obuilder
fn main() {}
