//! The system calls the init makes, and how a process begins without libc: the one place with assembly.
//!
//! Numbers are those of the architecture's table in the kernel (syscalls(2)); errors come back as `-errno`.
use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};

pub const SIGCHLD: i32 = 17;
pub const ENOENT: i32 = 2;
pub const E2BIG: i32 = 7;
pub const ENOEXEC: i32 = 8;
pub const EACCES: i32 = 13;
pub const ENOTDIR: i32 = 20;
pub const PATH_MAX: usize = 4096;

const EINTR: isize = 4;
const F_SETFD: usize = 2;
const FD_CLOEXEC: usize = 1;
const O_CLOEXEC: usize = 0o2000000;
const O_NONBLOCK: usize = 0o4000;
const PR_SET_NAME: usize = 15;
const SIG_SETMASK: usize = 2;
const SIGNAL_SET: usize = 8;
const WNOHANG: usize = 1;
const POLLIN: i16 = 1;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const SETSID: usize = 112;
    pub const PRCTL: usize = 157;
    pub const EXIT_GROUP: usize = 231;
    pub const PPOLL: usize = 271;
    pub const SIGNALFD4: usize = 289;
    pub const DUP3: usize = 292;
    pub const PIPE2: usize = 293;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const DUP3: usize = 24;
    pub const FCNTL: usize = 25;
    pub const CLOSE: usize = 57;
    pub const PIPE2: usize = 59;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const PPOLL: usize = 73;
    pub const SIGNALFD4: usize = 74;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const SETSID: usize = 157;
    pub const PRCTL: usize = 167;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const WAIT4: usize = 260;
}

// A process begins with the stack pointer at the number of its arguments and nothing to return to.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {}", sym super::init);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {}", sym super::init);

/// # Safety
/// As the call `number` demands of its arguments.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel's calling convention (syscall(2)); it changes rcx and r11 besides the result.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// # Safety
/// As the call `number` demands of its arguments.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel's calling convention (syscall(2)).
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, options(nostack));
    }
    result
}

pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: takes no memory. It does not return.
        unsafe { call(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0]) };
    }
}

/// A child that goes on with a copy of everything, as fork(2). 0 in the child.
pub fn fork() -> i32 {
    // SAFETY: without a stack or any sharing, clone(2) is fork(2).
    let child = unsafe { call(number::CLONE, [SIGCHLD as usize, 0, 0, 0, 0]) };
    if child < 0 {
        exit(126);
    }
    child as i32
}

/// Becomes `program`. It returns only if that fails, with errno.
pub fn exec(program: &CStr, argv: *const *const c_char, envp: *const *const c_char) -> i32 {
    // SAFETY: the lists are the kernel's own, null-terminated; `program` ends with a null.
    let failed =
        unsafe { call(number::EXECVE, [program.as_ptr() as usize, argv as usize, envp as usize, 0, 0]) };
    -failed as i32
}

/// A child that has ended, and its wait status.
pub fn reap() -> Option<(i32, i32)> {
    let mut status = 0i32;
    // SAFETY: `status` is there to be written to.
    let pid = unsafe { call(number::WAIT4, [usize::MAX, &raw mut status as usize, WNOHANG, 0, 0]) };
    (pid > 0).then_some((pid as i32, status))
}

/// As a shell tells it: 128 + n after signal n.
pub fn exit_code(status: i32) -> i32 {
    match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => 128 + signal,
    }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: takes no memory.
    unsafe { call(number::KILL, [pid as usize, signal as usize, 0, 0, 0]) };
}

pub fn new_session() {
    // SAFETY: takes no memory.
    unsafe { call(number::SETSID, [0; 5]) };
}

pub fn name_process(name: &CStr) {
    // SAFETY: `name` ends with a null.
    unsafe { call(number::PRCTL, [PR_SET_NAME, name.as_ptr() as usize, 0, 0, 0]) };
}

pub fn close(fd: i32) {
    // SAFETY: the init uses no descriptor after it has closed it.
    unsafe { call(number::CLOSE, [fd as usize, 0, 0, 0, 0]) };
}

/// Closes `fd` when the step begins.
pub fn keep_from_step(fd: i32) {
    // SAFETY: takes no memory.
    unsafe { call(number::FCNTL, [fd as usize, F_SETFD, FD_CLOEXEC, 0, 0]) };
}

/// Makes `to` what `from` is.
pub fn replace(from: i32, to: i32) {
    // SAFETY: takes no memory.
    unsafe { call(number::DUP3, [from as usize, to as usize, 0, 0, 0]) };
}

/// The reading end of a pipe that nobody writes to.
pub fn ended_pipe() -> i32 {
    let mut ends = [0i32; 2];
    // SAFETY: `ends` is there to be written to.
    unsafe { call(number::PIPE2, [ends.as_mut_ptr() as usize, O_CLOEXEC, 0, 0, 0]) };
    close(ends[1]);
    ends[0]
}

pub fn write(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: `bytes` are there to be read.
        let written =
            unsafe { call(number::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0]) };
        match written {
            1.. => bytes = bytes.get(written as usize..).unwrap_or_default(),
            failed if failed == -EINTR => {}
            _ => return,
        }
    }
}

/// All signals, taken as they come instead of being acted upon.
pub struct Signals {
    fd: i32,
    before: u64,
}

/// A `struct signalfd_siginfo` in words; the first is the signal (signalfd(2)).
type Info = [u32; 32];

impl Signals {
    pub fn take_all() -> Self {
        let (all, mut before) = (u64::MAX, 0u64);
        // SAFETY: both sets are there, and of the size given.
        let fd = unsafe {
            let sets = [SIG_SETMASK, &raw const all as usize, &raw mut before as usize, SIGNAL_SET, 0];
            call(number::RT_SIGPROCMASK, sets);
            let flags = O_CLOEXEC | O_NONBLOCK;
            call(number::SIGNALFD4, [usize::MAX, &raw const all as usize, SIGNAL_SET, flags, 0])
        };
        Self { fd: fd as i32, before }
    }

    /// Lets the signals come as they did before.
    pub fn give_back(&self) {
        // SAFETY: the set is there, and of the size given.
        unsafe {
            call(number::RT_SIGPROCMASK, [SIG_SETMASK, &raw const self.before as usize, 0, SIGNAL_SET, 0])
        };
    }

    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// The next signal that has come.
    pub fn next(&self) -> Option<i32> {
        let mut info: Info = [0; 32];
        // SAFETY: `info` is there to be written to, and of the size given.
        let read = unsafe {
            call(number::READ, [self.fd as usize, &raw mut info as usize, size_of::<Info>(), 0, 0])
        };
        (read > 0).then_some(info[0] as i32)
    }
}

/// `struct pollfd`.
#[repr(C)]
pub struct PollFd {
    fd: i32,
    events: i16,
    found: i16,
}

impl PollFd {
    pub fn readable(fd: i32) -> Self {
        Self { fd, events: POLLIN, found: 0 }
    }

    /// Whose other end is closed: that is always asked for.
    pub fn hung_up(fd: i32) -> Self {
        Self { fd, events: 0, found: 0 }
    }

    pub fn is_ready(&self) -> bool {
        self.found != 0
    }
}

/// Waits until one of them is ready.
pub fn poll(wanted: &mut [PollFd; 2]) {
    // SAFETY: `wanted` is there, two entries long; no time-out and no signal mask are given.
    unsafe { call(number::PPOLL, [wanted.as_mut_ptr() as usize, 2, 0, 0, 0]) };
}
