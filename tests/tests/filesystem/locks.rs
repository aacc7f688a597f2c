//! flock(2), POSIX record locks and leases between processes.
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use obuilder_tests::lease::{can_have_read_lease, take_read_lease};
use obuilder_tests::observe::outcome;
use obuilder_tests::process::forked;
use obuilder_tests::{Twin, World};

use crate::can_mount;

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

/// Tries a POSIX lock: 0, or the errno.
fn lock(file: &File, kind: i32, start: i64, len: i64) -> i32 {
    match fcntl(file, FcntlArg::F_SETLK(&range(kind, start, len))) {
        Ok(_) => 0,
        Err(e) => e as i32,
    }
}

const DENIED: i32 = Errno::EAGAIN as i32;

#[test]
fn flock_excludes_between_descriptors_and_is_freed_on_close() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    let seen = twin.same(|dir| {
        let path = dir.join("lock");
        let (one, two) = (open(&path), open(&path));
        let taken = |file: &File| !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        let first = taken(&one);
        let second = taken(&two);
        let copy = one.try_clone().unwrap();
        drop(one);
        let while_copied = taken(&two);
        drop(copy);
        let after = taken(&two);
        (first, second, while_copied, after)
    });
    assert_eq!(seen, (true, false, false, true));
}

#[test]
fn shared_flocks_admit_each_other_and_no_writer() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    let seen = twin.same(|dir| {
        let path = dir.join("lock");
        let (one, two, three) = (open(&path), open(&path), open(&path));
        (one.try_lock_shared().is_ok(), two.try_lock_shared().is_ok(), three.try_lock().is_ok())
    });
    assert_eq!(seen, (true, true, false));
}

#[test]
fn a_blocked_flock_is_granted_when_the_holder_lets_go() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    twin.same(|dir| {
        let path = dir.join("lock");
        let (one, two) = (open(&path), open(&path));
        one.lock().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| two.lock().is_ok());
            one.unlock().unwrap();
            waiter.join().unwrap()
        })
    });
}

#[test]
fn posix_locks_exclude_other_processes_range_by_range() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    let seen = twin.same(|dir| {
        let path = dir.join("lock");
        let file = open(&path);
        let mine = lock(&file, libc::F_WRLCK, 0, 100);
        let theirs = open(&path);
        let overlapping = forked(|| lock(&theirs, libc::F_WRLCK, 50, 100));
        let beside = forked(|| lock(&theirs, libc::F_WRLCK, 100, 100));
        let reading = forked(|| lock(&theirs, libc::F_RDLCK, 0, 1));
        let released = lock(&file, libc::F_UNLCK, 0, 60);
        let now_free = forked(|| lock(&theirs, libc::F_WRLCK, 0, 60));
        let still_held = forked(|| lock(&theirs, libc::F_WRLCK, 60, 1));
        [mine, overlapping, beside, reading, released, now_free, still_held]
    });
    assert_eq!(seen, [0, DENIED, 0, DENIED, 0, 0, DENIED]);
}

#[test]
fn posix_locks_end_with_their_process_and_with_any_close_of_the_file() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    let seen = twin.same(|dir| {
        let path = dir.join("lock");
        let file = open(&path);
        let in_a_process_that_ends = forked(|| lock(&file, libc::F_WRLCK, 0, 0));
        let after_its_end = lock(&file, libc::F_WRLCK, 0, 0);
        drop(open(&path));
        let other = open(&path);
        let after_a_close = forked(|| lock(&other, libc::F_WRLCK, 0, 0));
        [in_a_process_that_ends, after_its_end, after_a_close]
    });
    assert_eq!(seen, [0, 0, 0]);
}

#[test]
fn the_holder_of_a_posix_lock_can_be_asked_for() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    let seen = twin.same(|dir| {
        let file = open(&dir.join("lock"));
        lock(&file, libc::F_WRLCK, 10, 5);
        let me = i32::try_from(std::process::id()).unwrap();
        forked(|| {
            let mut asked = range(libc::F_WRLCK, 0, 0);
            let result = fcntl(&file, FcntlArg::F_GETLK(&mut asked));
            let right = result.is_ok() && asked.l_pid == me && asked.l_start == 10 && asked.l_len == 5;
            i32::from(right)
        })
    });
    assert_eq!(seen, 1);
}

#[test]
fn open_file_description_locks_exclude_within_one_process() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    let seen = twin.same(|dir| {
        let path = dir.join("lock");
        let (one, two) = (open(&path), open(&path));
        let lock = |file: &File| {
            let wanted = range(libc::F_WRLCK, 0, 0);
            fcntl(file, FcntlArg::F_OFD_SETLK(&wanted)).map_or_else(|e| e as i32, |_| 0)
        };
        assert_ne!(one.as_raw_fd(), two.as_raw_fd());
        [lock(&one), lock(&two)]
    });
    assert_eq!(seen, [0, DENIED]);
}

#[test]
fn two_users_locks_on_the_same_name_do_not_meet() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let ((one, _), (two, _)) = (world.resident(41_108), world.resident(41_109));
    let mount = world.mount();
    let path = mount.point().join("lock");
    let take = || {
        let file = open(&path);
        let flocked = file.try_lock().is_ok();
        (flocked, lock(&file, libc::F_WRLCK, 0, 0), file)
    };
    let first = one.run(take);
    let second = two.run(take);
    assert_eq!((first.0, first.1), (true, 0));
    assert_eq!((second.0, second.1), (true, 0));
}

extern "C" fn ignore(_: libc::c_int) {}

#[test]
fn a_blocked_lock_is_given_up_at_a_signal() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_107);
    let seen = twin.same(|dir| {
        let path = dir.join("lock");
        let file = open(&path);
        file.lock().unwrap();
        lock(&file, libc::F_WRLCK, 0, 0);
        let other = open(&path);
        let wait = |blocked: &dyn Fn() -> nix::Result<()>| {
            forked(|| {
                interrupt_soon();
                blocked().map_or_else(|e| e as i32, |()| 0)
            })
        };
        let posix = wait(&|| fcntl(&other, FcntlArg::F_SETLKW(&range(libc::F_WRLCK, 0, 0))).map(drop));
        let whole = wait(&|| flock_waiting(&other));
        [posix, whole]
    });
    assert_eq!(seen, [Errno::EINTR as i32, Errno::EINTR as i32]);
}

/// Has the kernel send this process a signal that does nothing, again and again from some milliseconds on.
#[allow(unsafe_code)]
fn interrupt_soon() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    // Without SA_RESTART: the call that waits returns.
    let action = SigAction::new(SigHandler::Handler(ignore), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    let _ = unsafe { sigaction(Signal::SIGALRM, &action) };
    let often = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
    let timer = libc::itimerval { it_interval: often, it_value: often };
    // SAFETY: the timer is live for the call, which only reads it.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

#[allow(unsafe_code)]
fn flock_waiting(file: &File) -> nix::Result<()> {
    // SAFETY: integers only.
    Errno::result(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }).map(drop)
}

#[test]
fn a_lease_is_had_as_long_as_nobody_writes_and_keeps_writers_out() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_106);
    let seen = twin.same(|dir| {
        let path = dir.join("file");
        fs::write(&path, "x").unwrap();
        let reader = File::open(&path).unwrap();
        // The open file that wrote it may be on its way to its end.
        assert!(obuilder_tests::process::eventually(|| can_have_read_lease(&reader)));
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        let while_written = can_have_read_lease(&reader);
        drop(writer);
        assert!(obuilder_tests::process::eventually(|| take_read_lease(&reader).is_ok()));
        let flags = libc::O_NONBLOCK;
        let refused = OpenOptions::new().append(true).custom_flags(flags).open(&path).map(drop);
        (while_written, outcome(refused), outcome(File::open(&path).map(drop)))
    });
    assert_eq!(seen, (false, "EAGAIN".to_owned(), "ok ()".to_owned()));
}

#[test]
fn a_lease_taken_behind_the_mount_is_not_waited_for() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_106);
    let below = twin.backing.join("file");
    twin.user.run(|| {
        fs::write(&below, "x").unwrap();
        let held = File::open(&below).unwrap();
        take_read_lease(&held).unwrap();
        let path = twin.mounted.join("file");
        let open = || outcome(OpenOptions::new().append(true).open(&path).map(drop));
        assert_eq!(outcome(fs::read_to_string(&path)), "ok \"x\"");
        assert_eq!(
            [open(), outcome(nix::unistd::truncate(&path, 0).map_err(Into::into))],
            ["EAGAIN", "EAGAIN"]
        );
        drop(held);
        assert_eq!(open(), "ok ()");
    });
}
