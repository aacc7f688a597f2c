//! As far as it goes: long paths and names, chains of links, large files, large directories read from the middle.
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use obuilder_tests::observe::outcome;
use obuilder_tests::{Twin, User, World};

use crate::can_mount;

/// A path of exactly `length` bytes that leads from `dir` to the name `x` in it.
fn of_length(dir: &Path, length: usize) -> PathBuf {
    let mut bytes = dir.as_os_str().as_bytes().to_vec();
    while bytes.len() < length - 1 {
        bytes.push(b'/');
    }
    bytes.push(b'x');
    if bytes[length - 2] != b'/' {
        bytes.truncate(dir.as_os_str().len());
        bytes.extend(b"/x");
    }
    OsString::from_vec(bytes).into()
}

#[test]
fn paths_and_names_may_be_as_long_as_natively() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(44_071);
    twin.same(|dir| {
        let mut seen = Vec::new();
        for length in [4094, 4095, 4096, 5000] {
            let path = of_length(dir, length);
            assert_eq!(path.as_os_str().len(), length);
            seen.push(outcome(fs::write(&path, "x")));
            seen.push(outcome(fs::metadata(&path).map(|meta| meta.len())));
            seen.push(outcome(fs::rename(&path, of_length(dir, length))));
            seen.push(outcome(symlink(&path, dir.join("link"))));
            seen.push(outcome(fs::read_link(dir.join("link")).map(|target| target.as_os_str().len())));
            let _ = fs::remove_file(dir.join("link"));
        }
        let _ = fs::remove_file(dir.join("x"));
        for length in [254, 255, 256, 300] {
            let name = dir.join(OsString::from_vec(vec![0xfe; length]));
            seen.push(outcome(fs::create_dir(&name)));
            seen.push(outcome(fs::rename(&name, dir.join("d"))));
            seen.push(outcome(fs::rename(dir.join("d"), &name)));
            seen.push(outcome(symlink("x", name.join("l"))));
            seen.push(outcome(fs::hard_link(name.join("l"), &name)));
            seen.push(outcome(fs::remove_dir_all(&name)));
        }
        seen
    });
}

#[test]
fn chains_of_links_are_followed_as_far_as_natively() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(44_071);
    twin.same(|dir| {
        fs::write(dir.join("0"), "end").unwrap();
        for number in 1..=45 {
            symlink((number - 1).to_string(), dir.join(number.to_string())).unwrap();
        }
        [39, 40, 41, 45].map(|number| outcome(fs::read_to_string(dir.join(number.to_string()))))
    });
}

#[test]
fn a_file_of_more_than_four_gibibytes_is_written_and_read_at_its_far_end() {
    if !can_mount() {
        return;
    }
    for options in [&[][..], &["-o", "nopassthrough"]] {
        let world = World::new();
        let (user, local) = world.resident(44_072);
        let mount = world.mount_with(options);
        let far = (5 << 30) + 12_345;
        user.run(|| {
            let path = mount.point().join("large");
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
            file.write_all_at(b"far", far).unwrap();
            file.write_all_at(b"over", (1 << 32) - 2).unwrap();
            // What is read comes from below.
            file.sync_all().unwrap();
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
            let mut text = [0; 4];
            file.read_exact_at(&mut text, (1 << 32) - 2).unwrap();
            assert_eq!(&text, b"over");
            file.read_exact_at(&mut text[..3], far).unwrap();
            assert_eq!(&text[..3], b"far");
            assert_eq!(fs::metadata(&path).unwrap().len(), far + 3);
            let data = nix::unistd::lseek(&file, 1 << 31, nix::unistd::Whence::SeekData).unwrap();
            assert!(((1 << 32) - 8192..1 << 32).contains(&data), "{data}");
            file.set_len(far + 1).unwrap();
        });
        let below = File::open(local.join("large")).unwrap();
        let mut byte = [0];
        below.read_exact_at(&mut byte, far).unwrap();
        assert_eq!((byte, below.metadata().unwrap().len()), (*b"f", far + 1));
        assert!(below.metadata().unwrap().blocks() < 1000, "still with holes");
    }
}

#[test]
fn direct_reads_and_writes_give_the_native_bytes_and_errors() {
    if !can_mount() {
        return;
    }
    #[repr(align(4096))]
    struct Block([u8; 8192]);
    let twin = Twin::new(44_071);
    twin.same(|dir| {
        let path = dir.join("file");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
        let file = options.open(&path).unwrap();
        let mut block = Block([7; 8192]);
        let seen = [
            outcome(file.write_at(&block.0, 0)),
            outcome(file.write_at(&block.0[..4096], 16_384)),
            outcome(file.write_at(&block.0[1..513], 0)),
            outcome(file.write_at(&block.0[..100], 0)),
            outcome(file.read_at(&mut block.0, 16_384)),
            outcome(file.read_at(&mut block.0, 12_288)),
            outcome(file.read_at(&mut block.0[..4096], 1)),
        ];
        let through_the_cache = fs::read(&path).unwrap();
        fs::write(&path, vec![9; 4096]).unwrap();
        block.0.fill(0);
        let read = outcome(file.read_at(&mut block.0, 0));
        (seen, through_the_cache, read, block.0[0], block.0[4095])
    });
}

#[test]
fn a_listing_goes_on_from_where_it_was_though_entries_come_and_go() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (user, _) = world.resident(44_073);
    let mount = world.mount();
    let dir = mount.point().join("dir");
    let stay: Vec<String> = (0..3000).map(|n| format!("stays-{n}")).collect();
    user.run(|| {
        fs::create_dir(&dir).unwrap();
        for name in &stay {
            File::create(dir.join(name)).unwrap();
            File::create(dir.join(name.replace("stays", "goes"))).unwrap();
        }
        let mut listing = obuilder_tests::listing::Listing::open(&dir).unwrap();
        let (mut seen, mut marks) = (Vec::new(), Vec::new());
        while let Some(name) = listing.next_name().unwrap() {
            if seen.len() % 500 == 0 {
                let n = seen.len();
                fs::remove_file(dir.join(format!("goes-{n}"))).ok();
                File::create(dir.join(format!("comes-{n}"))).unwrap();
                marks.push((listing.position(), n + 1));
            }
            seen.push(name);
        }
        for name in &stay {
            assert_eq!(seen.iter().filter(|seen| *seen == name.as_str()).count(), 1, "{name}");
        }
        // Back to each place: what comes next is what came next, but for what has gone since.
        for (mark, count) in marks.into_iter().rev() {
            listing.seek(mark);
            let next = std::iter::from_fn(|| listing.next_name().unwrap())
                .find(|name| name.as_bytes().starts_with(b"stays"));
            let then = seen[count..].iter().find(|name| name.as_bytes().starts_with(b"stays"));
            assert_eq!(next.as_ref(), then, "after entry {count}");
        }
        listing.rewind();
        let again: Vec<OsString> = std::iter::from_fn(|| listing.next_name().unwrap()).collect();
        assert!(again.iter().any(|name| name == "comes-0") && !again.iter().any(|name| name == "goes-0"));
    });
}

/// Lines of `writers` writers, each with its number, all of them whole and in each writer's order.
fn append_from_many(point: &Path, user: &User, writers: usize) {
    const LINES: usize = 500;
    let path = point.join("log");
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let path = &path;
            scope.spawn(move || {
                user.run(|| {
                    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
                    for line in 0..LINES {
                        let text = format!("{writer} {line} {}\n", "x".repeat(line % 97));
                        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
                    }
                });
            });
        }
    });
    let text = user.run(|| fs::read_to_string(&path).unwrap());
    let mut next = vec![0; writers];
    for line in text.lines() {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<usize>().unwrap();
        let (writer, line) = (number(), number());
        assert_eq!(line, next[writer], "of writer {writer}");
        next[writer] += 1;
    }
    assert_eq!(next, vec![LINES; writers]);
}

#[test]
fn appends_from_many_writers_are_all_there_and_whole() {
    if !can_mount() {
        return;
    }
    for options in [&[][..], &["-o", "nopassthrough"]] {
        let world = World::new();
        let (user, _) = world.resident(44_074);
        let mount = world.mount_with(options);
        append_from_many(mount.point(), &user, 4);
    }
}

#[test]
fn a_link_for_uid_0_is_honoured_like_any_other() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let root = User::new(0);
    let home = world.home("roots", &root);
    fs::write(home.join("local/file"), "root's own").unwrap();
    world.publish(0, &home);
    let mount = world.mount();
    assert_eq!(fs::read_to_string(mount.point().join("file")).unwrap(), "root's own");
    fs::write(mount.point().join("made"), "x").unwrap();
    assert!(home.join("local/made").exists() && !world.fallback.join("made").exists());
    world.retract(0);
    assert_eq!(outcome(fs::read(mount.point().join("file"))), "ENOENT");
}
