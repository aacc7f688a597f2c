//! Compiles `init/`, the process 1 of containers, to `OUT_DIR/init`: a program of its own without std, which
//! the library carries as bytes. Where containers do not run the file is empty.
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
    println!("cargo::rerun-if-changed=init");
    let init = PathBuf::from(variable("OUT_DIR")).join("init");
    let runs = variable("CARGO_CFG_TARGET_OS") == "linux"
        && ["x86_64", "aarch64"].contains(&variable("CARGO_CFG_TARGET_ARCH").as_str());
    let made = if runs { compile(&init) } else { std::fs::write(&init, "").map_err(|e| e.to_string()) };
    if let Err(why) = made {
        println!("cargo::error=cannot make the init of containers: {why}");
        exit(1);
    }
}

fn compile(init: &Path) -> Result<(), String> {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2024", "--crate-type=bin", "--crate-name=init", "--target", &variable("TARGET")]);
    rustc.args(["-Cpanic=abort", "-Copt-level=s", "-Cstrip=symbols"]);
    // A fixed address, no loader, no libc, not even its start-up code.
    rustc.args(["-Crelocation-model=static", "-Ctarget-feature=+crt-static"]);
    rustc.args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.arg("-o").arg(init).arg("init/main.rs").status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{rustc:?} failed: {status}")),
        Err(error) => Err(format!("{rustc:?}: {error}")),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
