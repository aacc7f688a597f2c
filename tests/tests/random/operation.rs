//! One operation out of many, on few names, so that they meet.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use obuilder_tests::observe::outcome;
use obuilder_tests::random::Random;

/// What is done. Names are relative to the directory it is done in.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Write(String, usize),
    Append(String, usize),
    WriteAt(String, u64),
    Truncate(String, i64),
    Read(String),
    MakeDir(String),
    RemoveDir(String),
    Remove(String),
    Rename(String, String, u32),
    Link(String, String),
    Symlink(String, String),
    ReadLink(String),
    Fifo(String),
    Mode(String, u32),
    Group(String, u32),
    Times(String, i64),
    SetAttribute(String, usize),
    RemoveAttribute(String),
    List(String),
    Look(String),
    /// Opens the name and keeps it in that place.
    Open(usize, String, i32),
    WriteOpen(usize, usize),
    ReadOpen(usize),
    CutOpen(usize, u64),
    LookOpen(usize),
    Close(usize),
}

/// Files kept open.
pub(crate) type Open = [Option<File>; 3];

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Supplementary groups of the user who acts.
pub(crate) const GROUPS: [u32; 2] = [45_091, 45_092];

fn name(random: &mut Random) -> String {
    let depth = 1 + random.below(3);
    (0..depth).map(|_| *random.pick(&NAMES)).collect::<Vec<_>>().join("/")
}

impl Operation {
    pub(crate) fn any(random: &mut Random) -> Self {
        let first = name(random);
        let number = random.below(1000);
        match random.below(32) {
            0..=2 => Self::Write(first, number),
            3 => Self::Append(first, number),
            4 => Self::WriteAt(first, number as u64 * 100),
            5 => Self::Truncate(first, i64::try_from(number).unwrap() * 20),
            6 => Self::Read(first),
            7..=10 => Self::MakeDir(first),
            11 => Self::RemoveDir(first),
            12 => Self::Remove(first),
            13..=15 => Self::Rename(first, name(random), *random.pick(&[0, 0, 0, 1, 2])),
            16 => Self::Link(first, name(random)),
            17 => Self::Symlink(["a", "./b", "c/d", "nowhere"][number % 4].to_owned(), first),
            18 => Self::ReadLink(first),
            19 => Self::Fifo(first),
            20 => {
                Self::Mode(first, *random.pick(&[0o644, 0o600, 0o755, 0o700, 0o6755, 0o2770, 0o444, 0o000]))
            }
            21 => Self::Group(first, *random.pick(&GROUPS)),
            22 => Self::Times(first, i64::try_from(number).unwrap() * 1_000_000),
            23 => Self::SetAttribute(first, number),
            24 => Self::RemoveAttribute(first),
            25 => Self::List(first),
            26 => Self::Look(first),
            27 => Self::Open(number % 3, first, [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR][number % 3]),
            28 => Self::WriteOpen(number % 3, number),
            29 => Self::CutOpen(number % 3, number as u64 * 7),
            30 if number.is_multiple_of(2) => Self::ReadOpen(number % 3),
            30 => Self::LookOpen(number % 3),
            _ => Self::Close(number % 3),
        }
    }

    /// Whether it concerns files that are open, and so where they were opened.
    pub(crate) fn is_of_open_files(&self) -> bool {
        use Operation::{Close, CutOpen, LookOpen, Open, ReadOpen, WriteOpen};
        matches!(self, Open(..) | WriteOpen(..) | ReadOpen(_) | CutOpen(..) | LookOpen(_) | Close(_))
    }

    /// Does it in `dir` and says what came of it.
    pub(crate) fn act(&self, dir: &Path, open: &mut Open) -> String {
        let at = |name: &String| dir.join(name);
        let text = |number: usize| number.to_string().repeat(number);
        match self {
            Self::Write(name, n) => outcome(write(&at(name), libc::O_CREAT | libc::O_TRUNC, &text(*n))),
            Self::Append(name, n) => outcome(write(&at(name), libc::O_CREAT | libc::O_APPEND, &text(*n))),
            Self::WriteAt(name, offset) => {
                outcome(opened(&at(name), libc::O_WRONLY).and_then(|file| file.write_all_at(b"far", *offset)))
            }
            Self::Truncate(name, length) => errno(nix::unistd::truncate(&at(name), *length)),
            Self::Read(name) => {
                outcome(opened(&at(name), libc::O_RDONLY).and_then(|mut file| read(&mut file)))
            }
            Self::MakeDir(name) => outcome(fs::create_dir(at(name))),
            Self::RemoveDir(name) => outcome(fs::remove_dir(at(name))),
            Self::Remove(name) => outcome(fs::remove_file(at(name))),
            Self::Rename(from, to, flags) => {
                let flags = RenameFlags::from_bits_retain(*flags);
                errno(renameat2(AT_FDCWD, &at(from), AT_FDCWD, &at(to), flags))
            }
            Self::Link(from, to) => outcome(fs::hard_link(at(from), at(to))),
            Self::Symlink(target, name) => outcome(symlink(target, at(name))),
            Self::ReadLink(name) => outcome(fs::read_link(at(name))),
            Self::Fifo(name) => errno(nix::unistd::mkfifo(&at(name), Mode::from_bits_retain(0o644))),
            Self::Mode(name, mode) => {
                outcome(fs::set_permissions(at(name), fs::Permissions::from_mode(*mode)))
            }
            Self::Group(name, group) => outcome(chown(at(name), None, Some(*group))),
            Self::Times(name, seconds) => {
                let time = TimeSpec::new(*seconds, 5);
                errno(utimensat(AT_FDCWD, &at(name), &time, &time, UtimensatFlags::NoFollowSymlink))
            }
            Self::SetAttribute(name, n) => {
                outcome(xattr::set(at(name), format!("user.{}", n % 3), text(n % 30).as_bytes()))
            }
            Self::RemoveAttribute(name) => outcome(xattr::remove(at(name), "user.1")),
            Self::List(name) => outcome(list(&at(name))),
            Self::Look(name) => outcome(fs::symlink_metadata(at(name)).map(|meta| seen(&meta))),
            _ => self.act_on_open(dir, open),
        }
    }

    fn act_on_open(&self, dir: &Path, open: &mut Open) -> String {
        match self {
            Self::Open(place, name, flags) => {
                let file = opened(&dir.join(name), *flags);
                let said = outcome(
                    file.as_ref()
                        .map(drop)
                        .map_err(|e| io::Error::from_raw_os_error(e.raw_os_error().unwrap())),
                );
                open[*place] = file.ok();
                said
            }
            Self::WriteOpen(place, n) => on(open, *place, |file| file.write_all(n.to_string().as_bytes())),
            Self::ReadOpen(place) => on(open, *place, read),
            Self::CutOpen(place, length) => on(open, *place, |file| file.set_len(*length)),
            Self::LookOpen(place) => on(open, *place, |file| file.metadata().map(|meta| seen(&meta))),
            Self::Close(place) => format!("{}", open[*place].take().is_some()),
            _ => unreachable!("an operation on a name"),
        }
    }
}

fn on<T: std::fmt::Debug>(
    open: &mut Open,
    place: usize,
    act: impl FnOnce(&mut File) -> io::Result<T>,
) -> String {
    open[place].as_mut().map_or_else(|| "not open".to_owned(), |file| outcome(act(file)))
}

fn seen(meta: &fs::Metadata) -> (u32, u32, u32, u64, u64) {
    let size = if meta.is_dir() { 0 } else { meta.len() };
    (meta.mode(), meta.uid(), meta.gid(), meta.nlink(), size)
}

fn errno<T: std::fmt::Debug>(result: nix::Result<T>) -> String {
    outcome(result.map_err(io::Error::from))
}

/// Never waits for the other end of a fifo, and takes no fifo.
fn opened(path: &Path, flags: i32) -> io::Result<File> {
    let access = flags & libc::O_ACCMODE;
    let mut options = OpenOptions::new();
    options.read(access != libc::O_WRONLY).write(access != libc::O_RDONLY);
    let file = options.custom_flags(flags | libc::O_NONBLOCK).mode(0o664).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from_raw_os_error(libc::EXDEV)) }
}

fn write(path: &Path, flags: i32, text: &str) -> io::Result<()> {
    opened(path, flags | libc::O_WRONLY)?.write_all(text.as_bytes())
}

fn read(file: &mut File) -> io::Result<usize> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.iter().map(|&byte| usize::from(byte)).sum())
}

fn list(path: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| format!("{:?} {:?}", entry.file_name(), entry.file_type().unwrap())))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// One line for each.
pub(crate) fn lines<T: std::fmt::Debug>(things: &[T]) -> String {
    things.iter().map(|thing| format!("  {thing:?}\n")).collect()
}
