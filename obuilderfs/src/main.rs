//! obuilderfs
fn main() {}
