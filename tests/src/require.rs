//! What a test needs of the machine. A test that cannot run says so by name, and fails in CI.
use std::env;
use std::path::Path;

/// Something a test cannot do without.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// To run as root, with the right to mount.
    Root,
    /// `/dev/fuse`.
    Fuse,
    /// A program in `PATH`.
    Tool(&'static str),
}

impl Need {
    fn met(self) -> bool {
        match self {
            Self::Root => nix::unistd::geteuid().is_root(),
            Self::Fuse => Path::new("/dev/fuse").exists(),
            Self::Tool(name) => {
                env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(name).is_file())
            }
        }
    }
}

/// Whether this machine has all of `needs`. When it has not, the caller returns at once; with `CI=true` this
/// panics instead, so that nothing is skipped unseen.
pub fn require(needs: &[Need]) -> bool {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.met()).collect();
    if missing.is_empty() {
        return true;
    }
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} cannot run here: it needs {missing:?}");
    eprintln!("SKIPPED {name}: it needs {missing:?}");
    false
}
