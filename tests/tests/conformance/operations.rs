//! What is done to the name `x` in a directory; each gives what can be compared of its result.
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown, lchown, symlink};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, OFlag, fallocate};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{AccessFlags, faccessat, mkfifo, truncate};
use obuilder_tests::observe::outcome;

use crate::users::{GROUP, MEMBER, OWNER, SECOND_GROUP};

/// A name for it, and what it does in the directory given.
pub(crate) type Operation = (&'static str, fn(&Path) -> String);

fn said<T: std::fmt::Debug>(result: nix::Result<T>) -> String {
    outcome(result.map_err(io::Error::from))
}

/// Opens `x` without ever blocking; writes or reads a little when it may.
fn open(dir: &Path, flags: OFlag) -> String {
    open_name(dir, "x", flags)
}

fn open_name(dir: &Path, name: &str, flags: OFlag) -> String {
    let access = flags & OFlag::O_ACCMODE;
    let mut options = OpenOptions::new();
    options.read(access != OFlag::O_WRONLY).write(access != OFlag::O_RDONLY).mode(0o6754);
    // The standard library refuses some combinations itself: the creating flags are passed beside it.
    options.custom_flags((flags | OFlag::O_NONBLOCK).bits());
    let opened = options.open(dir.join(name));
    let done = opened.and_then(|mut file| {
        let kind = file.metadata()?.mode() & libc::S_IFMT;
        if kind != libc::S_IFREG || flags.contains(OFlag::O_PATH) {
            return Ok((kind, 0, String::new()));
        }
        let mut text = String::new();
        if access == OFlag::O_WRONLY {
            file.write_all(b"new")?;
        } else {
            file.read_to_string(&mut text)?;
        }
        Ok((kind, file.metadata()?.len(), text))
    });
    outcome(done)
}

/// Makes a file without a name in `dir/place`, and links it to `x`. Says what it was before, whether that worked,
/// and how many names it has then.
fn nameless(dir: &Path, place: &str, flags: OFlag) -> String {
    let opened = obuilder_tests::nameless::create_with(&dir.join(place), 0o6754, flags.bits());
    outcome(opened.and_then(|mut file| {
        file.write_all(b"nameless")?;
        let before = file.metadata()?;
        let linked = outcome(obuilder_tests::nameless::link(&file, &dir.join("x")));
        file.write_all(b" no more")?;
        let owner = (before.uid(), before.gid());
        Ok((before.mode(), owner, before.nlink(), linked, file.metadata()?.nlink()))
    }))
}

fn chmod(dir: &Path, mode: u32) -> String {
    said(fchmodat(AT_FDCWD, &dir.join("x"), Mode::from_bits_retain(mode), FchmodatFlags::FollowSymlink))
}

fn utimes(dir: &Path, access: TimeSpec, modification: TimeSpec, flag: UtimensatFlags) -> String {
    said(utimensat(AT_FDCWD, &dir.join("x"), &access, &modification, flag))
}

fn may(dir: &Path, what: AccessFlags) -> String {
    said(faccessat(AT_FDCWD, &dir.join("x"), what, AtFlags::AT_EACCESS))
}

/// Works through an open descriptor: what is left of set-id bits afterwards is in the tree. What goes through a
/// fifo never comes to a file system.
fn with_file(dir: &Path, act: impl Fn(&fs::File) -> io::Result<()>) -> String {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(dir.join("x"));
    let regular = |file: &fs::File| file.metadata().is_ok_and(|meta| meta.is_file());
    outcome(opened.and_then(|file| if regular(&file) { act(&file) } else { Ok(()) }))
}

fn space(file: &fs::File, mode: FallocateFlags, offset: i64, length: i64) -> io::Result<()> {
    fallocate(file, mode, offset, length).map_err(io::Error::from)
}

const FOLLOW: UtimensatFlags = UtimensatFlags::FollowSymlink;
const PAST: TimeSpec = TimeSpec::new(1_000_000_000, 123_456_789);

/// On one name.
pub(crate) const SINGLE: &[Operation] = &[
    ("open r", |d| open(d, OFlag::O_RDONLY)),
    ("open w", |d| open(d, OFlag::O_WRONLY)),
    ("open rw", |d| open(d, OFlag::O_RDWR)),
    ("open w append", |d| open(d, OFlag::O_WRONLY | OFlag::O_APPEND)),
    ("open w trunc", |d| open(d, OFlag::O_WRONLY | OFlag::O_TRUNC)),
    ("open r trunc", |d| open(d, OFlag::O_RDONLY | OFlag::O_TRUNC)),
    ("open w creat", |d| open(d, OFlag::O_WRONLY | OFlag::O_CREAT)),
    ("open r creat", |d| open(d, OFlag::O_RDONLY | OFlag::O_CREAT)),
    ("open w creat trunc", |d| open(d, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)),
    ("open w creat excl", |d| open(d, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)),
    ("open w creat nofollow", |d| open(d, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW)),
    ("open r directory", |d| open(d, OFlag::O_RDONLY | OFlag::O_DIRECTORY)),
    ("open r creat directory", |d| open(d, OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_DIRECTORY)),
    ("open r nofollow", |d| open(d, OFlag::O_RDONLY | OFlag::O_NOFOLLOW)),
    ("open path", |d| open(d, OFlag::O_PATH)),
    ("open path nofollow", |d| open(d, OFlag::O_PATH | OFlag::O_NOFOLLOW)),
    ("open r noatime", |d| open(d, OFlag::O_RDONLY | OFlag::O_NOATIME)),
    ("open w sync", |d| open(d, OFlag::O_WRONLY | OFlag::O_SYNC)),
    ("open r slash", |d| open_name(d, "x/", OFlag::O_RDONLY)),
    ("open w creat slash", |d| open_name(d, "x/", OFlag::O_WRONLY | OFlag::O_CREAT)),
    ("open below", |d| open_name(d, "x/y", OFlag::O_RDONLY)),
    ("open creat below", |d| open_name(d, "x/y", OFlag::O_WRONLY | OFlag::O_CREAT)),
    ("open nameless r", |d| open_name(d, ".", OFlag::O_RDONLY | OFlag::O_TMPFILE)),
    ("open nameless w", |d| open_name(d, ".", OFlag::O_WRONLY | OFlag::O_TMPFILE)),
    ("open nameless rw in it", |d| open_name(d, "x", OFlag::O_RDWR | OFlag::O_TMPFILE)),
    ("link nameless", |d| nameless(d, ".", OFlag::empty())),
    ("link nameless from in it", |d| nameless(d, "x", OFlag::empty())),
    ("link nameless excl", |d| nameless(d, ".", OFlag::O_EXCL)),
    ("mkdir", |d| outcome(fs::create_dir(d.join("x")))),
    ("mkdir slash", |d| outcome(fs::create_dir(d.join("x/")))),
    ("mkdir below", |d| outcome(fs::create_dir(d.join("x/y")))),
    ("mkdir 7777", |d| said(nix::unistd::mkdir(&d.join("x"), Mode::from_bits_retain(0o7777)))),
    ("mkfifo", |d| said(mkfifo(&d.join("x"), Mode::from_bits_retain(0o6666)))),
    ("mknod file", |d| said(mknod(&d.join("x"), SFlag::S_IFREG, Mode::from_bits_retain(0o6755), 0))),
    ("mknod socket", |d| said(mknod(&d.join("x"), SFlag::S_IFSOCK, Mode::S_IRWXU, 0))),
    ("mknod char", |d| said(mknod(&d.join("x"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(259, 1_048_575)))),
    ("mknod block", |d| said(mknod(&d.join("x"), SFlag::S_IFBLK, Mode::S_IRWXU, makedev(4095, 7)))),
    ("symlink", |d| outcome(symlink("some/where", d.join("x")))),
    ("symlink below", |d| outcome(symlink("some/where", d.join("x/y")))),
    ("unlink", |d| outcome(fs::remove_file(d.join("x")))),
    ("unlink slash", |d| outcome(fs::remove_file(d.join("x/")))),
    ("unlink below", |d| outcome(fs::remove_file(d.join("x/inside")))),
    ("rmdir", |d| outcome(fs::remove_dir(d.join("x")))),
    ("rmdir dot", |d| outcome(fs::remove_dir(d.join("x/.")))),
    ("rmdir dotdot", |d| outcome(fs::remove_dir(d.join("x/..")))),
    ("rmdir below", |d| outcome(fs::remove_dir(d.join("x/deeper")))),
    ("chmod 0", |d| chmod(d, 0)),
    ("chmod 1777", |d| chmod(d, 0o1777)),
    ("chmod 2755", |d| chmod(d, 0o2755)),
    ("chmod 6711", |d| chmod(d, 0o6711)),
    ("lchmod 700", |d| said(fchmodat(AT_FDCWD, &d.join("x"), Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink))),
    ("chown owner", |d| outcome(chown(d.join("x"), Some(OWNER), None))),
    ("chown member", |d| outcome(chown(d.join("x"), Some(MEMBER), None))),
    ("chown group", |d| outcome(chown(d.join("x"), None, Some(GROUP)))),
    ("chown second group", |d| outcome(chown(d.join("x"), None, Some(SECOND_GROUP)))),
    ("chown owner and group", |d| outcome(chown(d.join("x"), Some(OWNER), Some(GROUP)))),
    ("chown root", |d| outcome(chown(d.join("x"), Some(0), Some(0)))),
    ("lchown second group", |d| outcome(lchown(d.join("x"), None, Some(SECOND_GROUP)))),
    ("lchown member", |d| outcome(lchown(d.join("x"), Some(MEMBER), None))),
    ("truncate 0", |d| said(truncate(&d.join("x"), 0))),
    ("truncate same", |d| said(truncate(&d.join("x"), 7))),
    ("truncate longer", |d| said(truncate(&d.join("x"), 70))),
    ("truncate negative", |d| said(truncate(&d.join("x"), -1))),
    ("truncate huge", |d| said(truncate(&d.join("x"), i64::MAX))),
    ("ftruncate shorter", |d| with_file(d, |file| file.set_len(3))),
    ("ftruncate longer", |d| with_file(d, |file| file.set_len(9000))),
    ("write", |d| with_file(d, |mut file| file.write_all(b"new text"))),
    ("write nothing", |d| with_file(d, |mut file| file.write(b"").map(drop))),
    ("fallocate", |d| with_file(d, |file| space(file, FallocateFlags::empty(), 0, 5000))),
    ("punch", |d| {
        let punch = FallocateFlags::FALLOC_FL_KEEP_SIZE | FallocateFlags::FALLOC_FL_PUNCH_HOLE;
        with_file(d, move |file| space(file, punch, 0, 4))
    }),
    ("utimes now", |d| utimes(d, TimeSpec::UTIME_NOW, TimeSpec::UTIME_NOW, FOLLOW)),
    ("utimes set", |d| utimes(d, PAST, TimeSpec::new(-5, 7), FOLLOW)),
    ("utimes atime now", |d| utimes(d, TimeSpec::UTIME_NOW, TimeSpec::UTIME_OMIT, FOLLOW)),
    ("utimes mtime set", |d| utimes(d, TimeSpec::UTIME_OMIT, PAST, FOLLOW)),
    ("utimes nothing", |d| utimes(d, TimeSpec::UTIME_OMIT, TimeSpec::UTIME_OMIT, FOLLOW)),
    ("utimes far", |d| utimes(d, PAST, TimeSpec::new(15_000_000_000, 1), FOLLOW)),
    ("lutimes", |d| utimes(d, PAST, PAST, UtimensatFlags::NoFollowSymlink)),
    ("access f", |d| may(d, AccessFlags::F_OK)),
    ("access r", |d| may(d, AccessFlags::R_OK)),
    ("access w", |d| may(d, AccessFlags::W_OK)),
    ("access x", |d| may(d, AccessFlags::X_OK)),
    ("stat", |d| outcome(fs::metadata(d.join("x")).map(|meta| meta.mode()))),
    ("stat below", |d| outcome(fs::metadata(d.join("x/y")).map(drop))),
    ("readlink", |d| outcome(fs::read_link(d.join("x")))),
    ("list", |d| outcome(fs::read_dir(d.join("x")).map(Iterator::count))),
    ("chdir", |d| outcome(std::env::set_current_dir(d.join("x")))),
    ("set attribute", |d| outcome(xattr::set(d.join("x"), "user.colour", b"red"))),
    ("get attribute", |d| outcome(xattr::get(d.join("x"), "user.colour"))),
    ("remove attribute", |d| outcome(xattr::remove(d.join("x"), "user.colour"))),
    ("set trusted attribute", |d| outcome(xattr::set(d.join("x"), "trusted.colour", b"red"))),
    ("set security attribute", |d| outcome(xattr::set(d.join("x"), "security.colour", b"red"))),
];
