//! A private view in a mount namespace of its own.
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, Uid, UnlinkatFlags, User, unlinkat};

use super::mounts::mounted_at;
use crate::answering::{self, Answer};
use crate::fs::CONTROL_NAME;
use crate::scoreboard::{Scoreboard, ScoreboardError};
use crate::session::{MOUNT_TYPE, Silent};

/// What to run where, as whom.
#[derive(Debug)]
pub(crate) struct Entering {
    pub(crate) mountpoint: PathBuf,
    pub(crate) uid: u32,
    pub(crate) command: Vec<OsString>,
}

/// Why a private view cannot be entered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnterError {
    #[error("only root may enter another user's view; use sudo")]
    NotRoot,
    #[error("{}: no obuilderfs is mounted there", .0.display())]
    NotMounted(PathBuf),
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error("uid {uid} has no link on the scoreboard {}; make one: ln -sfn HOME {}/{uid}", board.display(), board.display())]
    NoLink { uid: u32, board: PathBuf },
    #[error(transparent)]
    Scoreboard(#[from] ScoreboardError),
    #[error("{what} {}: {}", path.display(), source.desc())]
    System { what: &'static str, path: PathBuf, source: Errno },
    #[error("{}: {source}", command.display())]
    Command { command: PathBuf, source: io::Error },
}

fn system(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> EnterError {
    let path = path.to_owned();
    move |source| EnterError::System { what, path, source }
}

/// Runs the command and returns its exit code; 128 and the signal's number if one ended it.
pub(crate) fn enter(entering: &Entering) -> Result<u8, EnterError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(EnterError::NotRoot);
    }
    let given = &entering.mountpoint;
    let mountpoint = given.canonicalize().map_err(|_| EnterError::NotMounted(given.clone()))?;
    let mounted = mounted_at(&mountpoint).filter(|mounted| mounted.kind == MOUNT_TYPE);
    let board = mounted.ok_or_else(|| EnterError::NotMounted(given.clone()))?.source;
    let answer = answering::ask(&mountpoint);
    match answer.map_err(|e| system("cannot ask", given)(Errno::try_from(e).unwrap_or(Errno::EIO)))? {
        Answer::Given => {}
        Answer::None => return Err(Silent(mountpoint).into()),
        Answer::Dead => return Err(EnterError::NotMounted(given.clone())),
    }
    let link = Scoreboard::open(&board)?.resolve(entering.uid)?;
    let home = link.ok_or(EnterError::NoLink { uid: entering.uid, board })?.target;
    let view = PrivateView::bind(&mountpoint, &home, entering.uid)?;
    let code = run(entering);
    drop(view);
    code
}

/// A private view bound over home and mount point in this process's own namespace, until it is dropped.
struct PrivateView {
    control: OwnedFd,
    token: OsString,
    bound: Vec<PathBuf>,
}

impl PrivateView {
    fn bind(mountpoint: &Path, home: &Path, uid: u32) -> Result<Self, EnterError> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(system("no mount namespace for", mountpoint))?;
        // What the machine unmounts goes here too, and nothing we mount gets out.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
            .map_err(system("cannot detach from", Path::new("/")))?;
        let path = mountpoint.join(CONTROL_NAME);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let control = open(&path, flags, Mode::empty()).map_err(system("cannot open", &path))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let token = OsString::from(format!("{uid}-enter-{}-{now}", std::process::id()));
        let source = path.join(&token);
        let mut view = Self { control, token, bound: Vec::new() };
        view.bind_one(&source, home)?;
        view.bind_one(&home.join("local"), mountpoint)?;
        Ok(view)
    }

    fn bind_one(&mut self, from: &Path, to: &Path) -> Result<(), EnterError> {
        mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(system("cannot bind the view over", to))?;
        self.bound.push(to.to_owned());
        Ok(())
    }
}

impl Drop for PrivateView {
    fn drop(&mut self) {
        for bound in self.bound.iter().rev() {
            let _ = umount2(bound, MntFlags::MNT_DETACH);
        }
        // With the last use gone, removing the name frees the view.
        let _ = unlinkat(self.control.as_fd(), self.token.as_os_str(), UnlinkatFlags::RemoveDir);
    }
}

fn run(entering: &Entering) -> Result<u8, EnterError> {
    let Some((program, arguments)) = entering.command.split_first() else { return Ok(0) };
    let mut command = Command::new(program);
    command.args(arguments);
    become_user(&mut command, entering.uid);
    // The path is looked up anew: where we stand may look different from inside.
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    let mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    let restore = move || mask.thread_set_mask().map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call; it takes no lock and no memory.
    unsafe { command.pre_exec(restore) };
    let passed_on = passed_on_signals();
    let mut child =
        command.spawn().map_err(|source| EnterError::Command { command: PathBuf::from(program), source })?;
    pass_on(passed_on, &child);
    let status =
        child.wait().map_err(|source| EnterError::Command { command: PathBuf::from(program), source })?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// The user's ids and groups, and what a login would set.
fn become_user(command: &mut Command, uid: u32) {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let gid = user.as_ref().map_or(uid, |user| user.gid.as_raw());
    let mut groups = vec![gid];
    if let Some(user) = &user {
        command.env("HOME", &user.dir).env("USER", &user.name).env("LOGNAME", &user.name);
        if let Ok(name) = std::ffi::CString::new(user.name.as_str())
            && let Ok(all) = nix::unistd::getgrouplist(&name, user.gid)
        {
            groups = all.iter().map(|group| group.as_raw()).collect();
        }
    }
    let become_user = move || {
        // SAFETY: bare system calls on plain values and a slice that lives in this closure.
        unsafe {
            let failed = libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) != 0
                || libc::syscall(libc::SYS_setresgid, gid, gid, gid) != 0
                || libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0;
            if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
        }
    };
    // SAFETY: between fork and exec the closure makes system calls only; it takes no lock and no memory.
    unsafe { command.pre_exec(become_user) };
}

/// Signals that are the command's, blocked here from now on: the terminal's reach it anyway, the others are passed on.
fn passed_on_signals() -> SigSet {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    let _ = signals.thread_block();
    signals
}

fn pass_on(signals: SigSet, child: &Child) {
    let Ok(child) = i32::try_from(child.id()).map(Pid::from_raw) else { return };
    std::thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            if matches!(signal, Signal::SIGTERM | Signal::SIGHUP) {
                let _ = kill(child, signal);
            }
        }
    });
}
