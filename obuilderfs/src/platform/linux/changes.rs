//! Word of changes on whole file systems, `fanotify(7)`. The kernel queues an event before the system call that
//! caused it returns, so whoever reads the queue later than that finds it there.
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use parking_lot::Mutex;

use super::handles::HandleKey;

/// Whatever changes names, contents or attributes.
const CHANGES: u64 = libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_MOVED_FROM
    | libc::FAN_MOVED_TO
    | libc::FAN_MODIFY
    | libc::FAN_ATTRIB
    | libc::FAN_ONDIR;

/// Length of `struct fanotify_event_metadata`, and where its fields are.
const METADATA: usize = 24;
/// Length of `struct fanotify_event_info_fid` before the handle: header 4, fsid 8.
const INFO: usize = 12;

/// How much of the queue is read at once.
const BUFFER: usize = 16 * 1024;
/// No event is longer: metadata, two handles (`MAX_HANDLE_SZ` in `name_to_handle_at(2)`) and a name.
const LONGEST: usize = 1024;

/// A queue of changes.
#[derive(Debug)]
pub(crate) struct Watch {
    queue: OwnedFd,
    /// This process, which does not change: each look-up asks.
    own: i32,
    buffer: Mutex<Box<[u8]>>,
}

/// What the queue tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// The name is another object's now, or nobody's, in that directory.
    Name(HandleKey, OsString),
    /// Contents, attributes or the number of names of that object.
    Object(HandleKey),
    /// Changes were lost.
    Lost,
}

/// Changes of names, as opposed to those of objects.
const NAMES: u64 = libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO;

impl Watch {
    /// An empty queue.
    ///
    /// # Errors
    /// As `fanotify_init(2)`.
    pub(crate) fn new() -> Result<Self, Errno> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_REPORT_FID
            | libc::FAN_REPORT_DIR_FID
            | libc::FAN_REPORT_NAME;
        // SAFETY: plain values only.
        let fd = unsafe { libc::fanotify_init(flags, (libc::O_RDONLY | libc::O_CLOEXEC) as u32) };
        Errno::result(fd)?;
        // SAFETY: the kernel has just given us this descriptor.
        let queue = unsafe { OwnedFd::from_raw_fd(fd) };
        let own = std::process::id().cast_signed();
        Ok(Self { queue, own, buffer: Mutex::new(vec![0; BUFFER].into()) })
    }

    /// Readable when there is something in the queue.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// From now on, changes on the file system that holds `object` are told.
    ///
    /// # Errors
    /// As `fanotify_mark(2)`: not every file system can be watched.
    pub(crate) fn add(&self, object: BorrowedFd<'_>) -> Result<(), Errno> {
        let action = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        // SAFETY: the path is a C string; the descriptors are open.
        let result = unsafe {
            libc::fanotify_mark(self.queue.as_raw_fd(), action, CHANGES, object.as_raw_fd(), c".".as_ptr())
        };
        Errno::result(result).map(drop)
    }

    /// Hands everything to `take` that was in the queue when this was called, and whether this process did it itself.
    /// Each time before some of it is handed out `read` is called.
    pub(crate) fn drain(&self, read: impl Fn(), mut take: impl FnMut(Change, bool)) {
        let mut buffer = self.buffer.lock();
        let mut left = None;
        while let Ok(length @ 1..) = nix::unistd::read(&self.queue, &mut buffer) {
            read();
            let mut events = 0;
            let mut rest = &buffer[..length];
            while let Some((event, tail)) = split_event(rest) {
                rest = tail;
                events += 1;
                let own = event.pid == self.own && !event.lost;
                event.tell(&mut |change| take(change, own));
            }
            // There was room for more: the queue was empty.
            if BUFFER - length >= LONGEST {
                return;
            }
            // More may come than we can take, and never end.
            match left.map_or_else(|| self.pending(), |left: usize| left.saturating_sub(events)) {
                0 => return,
                some => left = Some(some),
            }
        }
    }

    /// How many events are in the queue: `FIONREAD` counts their metadata alone.
    fn pending(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the call writes one integer.
        let result = unsafe { libc::ioctl(self.queue.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).unwrap_or(0) / METADATA } else { usize::MAX }
    }
}

#[derive(Debug)]
struct Event<'a> {
    pid: i32,
    lost: bool,
    names: bool,
    infos: &'a [u8],
}

/// The first event in `bytes`, and what follows it.
fn split_event(bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(0..4)?.try_into().ok()?) as usize;
    let mask = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
    let pid = i32::from_ne_bytes(bytes.get(20..24)?.try_into().ok()?);
    let (event, tail) = bytes.split_at_checked(length)?;
    let lost = mask & libc::FAN_Q_OVERFLOW != 0;
    let names = mask & NAMES != 0;
    Some((Event { pid, lost, names, infos: event.get(METADATA..)? }, tail))
}

impl Event<'_> {
    fn tell(&self, take: &mut impl FnMut(Change)) {
        if self.lost {
            return take(Change::Lost);
        }
        let mut infos = self.infos;
        while let Some(length) =
            infos.get(2..4).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes)
        {
            let Some((info, tail)) = infos.split_at_checked(usize::from(length)) else { return };
            self.tell_info(info, take);
            if length == 0 {
                return;
            }
            infos = tail;
        }
    }

    /// A record: of the directory and the name, or of the object itself. A change of names changes the
    /// directory too.
    fn tell_info(&self, info: &[u8], take: &mut impl FnMut(Change)) {
        let Some((key, name)) = parse_info(info) else { return };
        if info.first() == Some(&libc::FAN_EVENT_INFO_TYPE_DFID_NAME) && self.names {
            take(Change::Name(key.clone(), name.to_owned()));
            take(Change::Object(key));
        } else if info.first() != Some(&libc::FAN_EVENT_INFO_TYPE_DFID_NAME) || name == "." {
            take(Change::Object(key));
        }
    }
}

/// The handle and, where there is one, the name that a record holds.
fn parse_info(info: &[u8]) -> Option<(HandleKey, &OsStr)> {
    let handle = info.get(INFO..)?;
    let length = u32::from_ne_bytes(handle.get(0..4)?.try_into().ok()?) as usize;
    let kind = i32::from_ne_bytes(handle.get(4..8)?.try_into().ok()?);
    let key = HandleKey::new(kind, handle.get(8..8 + length)?);
    let name = handle.get(8 + length..)?;
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    Some((key, OsStr::from_bytes(&name[..end])))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;
    use crate::platform::handle_of;

    /// Changes by another process: our own are told as such.
    fn shell(script: &str, dir: &std::path::Path) {
        assert!(
            std::process::Command::new("sh")
                .args(["-ec", script])
                .current_dir(dir)
                .status()
                .unwrap()
                .success()
        );
    }

    #[test]
    fn a_change_is_in_the_queue_when_its_maker_has_returned() {
        let dir = tempfile::tempdir().unwrap();
        let open = fs::File::open(dir.path()).unwrap();
        let (Ok(watch), Ok(Some(handle))) = (Watch::new(), handle_of(open.as_fd())) else {
            assert!(std::env::var_os("CI").is_none(), "needs root and a file system with handles");
            eprintln!("skipped: a_change_is_in_the_queue_when_its_maker_has_returned");
            return;
        };
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let key = handle_of(fs::File::open(&file).unwrap().as_fd()).unwrap().unwrap().key();
        watch.add(open.as_fd()).unwrap();
        fs::write(dir.path().join("ours"), "x").unwrap();
        let told = |script| {
            shell(script, dir.path());
            let mut told = HashSet::new();
            watch.drain(
                || (),
                |change, own| {
                    if !own {
                        told.insert(change);
                    }
                },
            );
            told
        };
        let name = |name: &str| Change::Name(handle.key(), name.into());
        assert!(told("echo y > made").contains(&name("made")));
        let moved = told("mv made moved");
        assert!(moved.contains(&name("made")) && moved.contains(&name("moved")));
        assert!(told("rm moved").contains(&name("moved")));
        for script in
            ["echo y >> file", "chmod 600 file", "touch file", "truncate -s 0 file", "ln file other"]
        {
            assert!(told(script).contains(&Change::Object(key.clone())), "{script}");
        }
        assert!(told("echo y >> other").contains(&Change::Object(key.clone())), "by another name");
        assert!(told("chmod 700 .").contains(&Change::Object(handle.key())));
        assert!(!told("true").contains(&name("ours")), "our own changes are told as such");
    }

    #[test]
    fn whoever_reads_the_queue_is_not_kept_by_what_comes_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let open = fs::File::open(dir.path()).unwrap();
        let watched = Watch::new().and_then(|watch| watch.add(open.as_fd()).map(|()| watch));
        let Ok(watch) = watched else {
            assert!(std::env::var_os("CI").is_none(), "needs root and a file system that can be watched");
            eprintln!("skipped: whoever_reads_the_queue_is_not_kept_by_what_comes_meanwhile");
            return;
        };
        let make = |name: String| fs::write(dir.path().join(name), "").unwrap();
        // Fewer than fit into the buffer, then more.
        for before in [3, 1000] {
            (0..before).for_each(|n| make(format!("{before}-before-{n}")));
            let mut seen = HashSet::new();
            let mut count = 0;
            watch.drain(
                || (),
                |change, own| {
                    if let (true, Change::Name(_, name)) = (own, change) {
                        seen.insert(name);
                    }
                    // Each that is taken brings another one.
                    count += 1;
                    make(format!("{before}-meanwhile-{count}"));
                },
            );
            assert!((0..before).all(|n| seen.contains(OsStr::new(&format!("{before}-before-{n}")))));
        }
    }
}
