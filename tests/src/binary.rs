//! Where the binaries under test are.
use std::env;
use std::path::PathBuf;

/// The `obuilderfs` to test: `OBUILDERFS_BIN`, or the one built beside this test.
pub fn obuilderfs() -> PathBuf {
    find("OBUILDERFS_BIN", "obuilderfs")
}

/// The `obuilder` to test: `OBUILDER_BIN`, or the one built beside this test.
pub fn obuilder() -> PathBuf {
    find("OBUILDER_BIN", "obuilder")
}

/// A test runs from `target/<profile>/deps`, a benchmark from `target/<profile>`: the binaries lie in the latter.
fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return PathBuf::from(path);
    }
    let here = env::current_exe().expect("path of this executable");
    let built = here.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    built.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo build --workspace --bins`, or set {variable}")
    })
}
