//! The program that is process 1 of every container: it starts the step, waits for it and reports.
//!
//! The container has it as an open file and nowhere in its tree, so the image needs nothing and keeps nothing.
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Compiled by `build.rs` from `init/`; empty for architectures it is not written for.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Where the container finds it.
pub(super) const PATH: &str = "/proc/self/fd/3";

/// The program, in memory, where nobody can change it.
pub(super) fn program() -> io::Result<OwnedFd> {
    if PROGRAM.is_empty() {
        let why = format!("obuilder does not run containers on {}", std::env::consts::ARCH);
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let mut file = File::from(memory()?);
    file.write_all(PROGRAM)?;
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

fn memory() -> nix::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Since Linux 6.3 an administrator may have what is not asked for as a program refused as one.
    match memfd_create("obuilder-init", flags | MFdFlags::from_bits_retain(libc::MFD_EXEC)) {
        Err(Errno::EINVAL) => memfd_create("obuilder-init", flags),
        made => made,
    }
}
