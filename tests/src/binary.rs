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

/// A test runs from `target/<profile>/deps`; the workspace's binaries lie one directory up.
fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return PathBuf::from(path);
    }
    let test = env::current_exe().expect("path of the test itself");
    let built = test.ancestors().nth(2).expect("target/<profile>/deps/<test>").join(name);
    assert!(
        built.exists(),
        "{} is not built: run `cargo build --workspace --bins` first, or set {variable}",
        built.display()
    );
    built
}
