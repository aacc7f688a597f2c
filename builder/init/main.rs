//! Process 1 of a container: starts the step, waits for it, hands signals on, and tells how it ended.
//!
//! It runs in images that may hold no libc, no shell and no loader, so it stands on nothing but the kernel:
//! `build.rs` compiles it without std, and the builder carries it along and hands it to the container as an
//! open file. What it finds there:
//!
//! - descriptor 3: this very program;
//! - descriptor 4: a socket to the builder. Its end means that nobody wants the step any more; the raw wait
//!   status of the step is written to it;
//! - descriptor 5: where the step's output goes, both streams;
//! - its arguments: the step's.
//!
//! When process 1 ends, the kernel kills all others of its pid namespace (pid_namespaces(7)).
#![no_std]
#![no_main]
#![no_builtins]

mod builtins;
mod kernel;

use core::ffi::{CStr, c_char};

use kernel::{PollFd, SIGCHLD, Signals};

const PROGRAM: i32 = 3;
const BUILDER: i32 = 4;
const OUTPUT: i32 = 5;

/// What execvp(3) and shells use for a program that is not there, and for one that cannot be run.
const NOT_FOUND: i32 = 127;
const NOT_RUNNABLE: i32 = 126;
/// As after SIGKILL.
const ABANDONED: i32 = 137;
/// The PATH of a step that has none.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `stack` is what the kernel leaves there: the number of arguments, the arguments, a null, the variables.
///
/// # Safety
/// To be called once, by the entry point, with the stack pointer the process was started with.
#[unsafe(no_mangle)]
unsafe extern "C" fn init(stack: *const usize) -> ! {
    // SAFETY: this is how the kernel lays out a new process's stack; both lists end with a null.
    let (argv, envp) = unsafe {
        let count = *stack;
        let argv = stack.add(1).cast::<*const c_char>();
        (argv.add(1), argv.add(count + 1))
    };
    kernel::name_process(c"init");
    kernel::close(PROGRAM);
    kernel::keep_from_step(BUILDER);
    let signals = Signals::take_all();
    let empty = kernel::ended_pipe();
    let step = kernel::fork();
    if step == 0 {
        kernel::replace(empty, 0);
        kernel::replace(OUTPUT, 1);
        kernel::replace(OUTPUT, 2);
        kernel::close(OUTPUT);
        kernel::new_session();
        signals.give_back();
        start(argv, envp);
    }
    for fd in [0, 1, 2, empty, OUTPUT] {
        kernel::close(fd);
    }
    wait(step, &signals)
}

/// Waits for the step, or for the builder to lose interest.
fn wait(step: i32, signals: &Signals) -> ! {
    loop {
        let mut wanted = [PollFd::readable(signals.fd()), PollFd::hung_up(BUILDER)];
        kernel::poll(&mut wanted);
        if wanted[1].is_ready() {
            kernel::exit(ABANDONED);
        }
        while let Some(signal) = signals.next() {
            if signal == SIGCHLD {
                reap(step);
            } else {
                kernel::kill(step, signal);
            }
        }
    }
}

/// Waits for every child that has ended, the orphans that process 1 inherits included.
fn reap(step: i32) {
    while let Some((pid, status)) = kernel::reap() {
        if pid == step {
            kernel::write(BUILDER, &status.to_le_bytes());
            kernel::exit(kernel::exit_code(status));
        }
    }
}

/// Becomes the step; its program is searched in PATH, as execvp(3) does.
fn start(argv: *const *const c_char, envp: *const *const c_char) -> ! {
    // SAFETY: both are null-terminated lists of strings that the kernel put on the stack.
    let program = unsafe { argv.read() };
    if program.is_null() {
        fail(c"", b"the command is empty", NOT_FOUND);
    }
    // SAFETY: as above.
    let program = unsafe { CStr::from_ptr(program) };
    let name = program.to_bytes();
    if name.contains(&b'/') {
        refuse(program, kernel::exec(program, argv, envp));
    }
    let mut refused = kernel::ENOENT;
    let mut buffer = [0; kernel::PATH_MAX];
    for dir in path(envp).split(|&b| b == b':').filter(|_| !name.is_empty()) {
        let Some(candidate) = joined(dir, name, &mut buffer) else { continue };
        match kernel::exec(candidate, argv, envp) {
            kernel::ENOENT | kernel::ENOTDIR => {}
            errno => refused = errno,
        }
    }
    refuse(program, refused)
}

/// The value of PATH.
fn path(envp: *const *const c_char) -> &'static [u8] {
    let mut at = envp;
    // SAFETY: a null-terminated list of strings that live as long as the process.
    unsafe {
        while !at.read().is_null() {
            if let Some(path) = CStr::from_ptr(at.read()).to_bytes().strip_prefix(b"PATH=") {
                return path;
            }
            at = at.add(1);
        }
    }
    DEFAULT_PATH
}

/// `dir/name`, if it is not too long to be a path.
fn joined<'a>(dir: &[u8], name: &[u8], buffer: &'a mut [u8]) -> Option<&'a CStr> {
    let dir = if dir.is_empty() { b"." } else { dir };
    let parts = [dir, b"/", name, b"\0"];
    let mut end = 0;
    for part in parts {
        for &byte in part {
            *buffer.get_mut(end)? = byte;
            end += 1;
        }
    }
    CStr::from_bytes_with_nul(&buffer[..end]).ok()
}

fn refuse(program: &CStr, errno: i32) -> ! {
    match errno {
        kernel::ENOENT => fail(program, b"no such program, or its interpreter is missing", NOT_FOUND),
        kernel::EACCES => fail(program, b"permission denied", NOT_RUNNABLE),
        kernel::ENOEXEC => fail(program, b"not a program this machine can run", NOT_RUNNABLE),
        kernel::E2BIG => fail(program, b"its arguments and variables are too long", NOT_RUNNABLE),
        _ => fail(program, b"the system cannot start it", NOT_RUNNABLE),
    }
}

fn fail(program: &CStr, why: &[u8], code: i32) -> ! {
    for part in [b"obuilder: cannot run ", program.to_bytes(), b": ", why, b"\n"] {
        kernel::write(2, part);
    }
    kernel::exit(code)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    kernel::exit(NOT_RUNNABLE)
}
