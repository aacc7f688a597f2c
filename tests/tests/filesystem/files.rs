//! Bytes of regular files: written, read, cut, punched, copied.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use nix::fcntl::{FallocateFlags, OFlag, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::unistd::{Whence, lseek};
use obuilder_tests::Twin;
use obuilder_tests::copying::copy_file_range;
use obuilder_tests::observe::{describe, outcome};

use crate::can_mount;

/// `len` bytes that differ along the way.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap()).collect()
}

#[test]
fn a_file_is_created_written_and_read_back() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let file = dir.join("file");
        let missing = outcome(fs::read(&file));
        let written = outcome(fs::write(&file, "hello"));
        (missing, written, outcome(fs::read(&file)), describe(&file))
    });
}

#[test]
fn files_of_many_sizes_keep_every_byte() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        for len in [0, 1, 4095, 4096, 4097, 131_071, 131_072, 131_073, 1_048_577, 5_000_000] {
            let file = dir.join(len.to_string());
            fs::write(&file, pattern(len)).unwrap();
            assert!(fs::read(&file).unwrap() == pattern(len), "{len} bytes differ");
        }
    });
}

#[test]
fn append_goes_to_the_end_whoever_else_has_written_meanwhile() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    let text = twin.same(|dir| {
        let path = dir.join("log");
        let open = || OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let (mut first, mut second) = (open(), open());
        for _ in 0..3 {
            first.write_all(b"one ").unwrap();
            second.write_all(b"two ").unwrap();
        }
        fs::read_to_string(&path).unwrap()
    });
    assert_eq!(text, "one two one two one two ");
}

#[test]
fn every_open_flag_means_what_it_means_natively() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let file = dir.join("file");
        fs::write(&file, "content").unwrap();
        fs::create_dir(dir.join("dir")).unwrap();
        let open = |name: &str, access: i32, flags: OFlag| {
            let mut options = OpenOptions::new();
            options.read(access != libc::O_WRONLY).write(access != libc::O_RDONLY).custom_flags(flags.bits());
            outcome(options.open(dir.join(name)).map(drop))
        };
        let exclusive = outcome(OpenOptions::new().write(true).create_new(true).open(&file).map(drop));
        let directory_as_file = open("file", libc::O_RDONLY, OFlag::O_DIRECTORY);
        let write_a_directory = open("dir", libc::O_WRONLY, OFlag::empty());
        let through_a_file = open("file/x", libc::O_RDONLY, OFlag::empty());
        let cut = open("file", libc::O_WRONLY, OFlag::O_TRUNC);
        (exclusive, directory_as_file, write_a_directory, through_a_file, cut, describe(&file))
    });
}

#[test]
fn descriptors_refuse_what_they_were_not_opened_for() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let path = dir.join("file");
        fs::write(&path, "abc").unwrap();
        let mut reader = File::open(&path).unwrap();
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        let mut buffer = [0; 3];
        (outcome(reader.write(b"x")), outcome(writer.read(&mut buffer)), outcome(reader.set_len(1)))
    });
}

#[test]
fn truncate_shortens_lengthens_with_zeros_and_works_by_path_and_descriptor() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let path = dir.join("file");
        fs::write(&path, pattern(10_000)).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        file.set_len(100).unwrap();
        file.set_len(300).unwrap();
        let bytes = fs::read(&path).unwrap();
        let by_path = nix::unistd::truncate(&path, 7).map_err(io::Error::from);
        (bytes, outcome(by_path), describe(&path))
    });
}

#[test]
fn reads_and_writes_at_offsets_leave_holes_that_read_as_zeros() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join("f"))
            .unwrap();
        file.write_all_at(b"far", 70_000).unwrap();
        file.write_all_at(b"near", 10).unwrap();
        let mut all = Vec::new();
        (&file).seek(SeekFrom::Start(0)).unwrap();
        (&file).read_to_end(&mut all).unwrap();
        let mut past_the_end = [0; 4];
        (all, outcome(file.read_at(&mut past_the_end, 1 << 40)))
    });
}

#[test]
fn holes_and_data_are_found_by_lseek() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join("f"))
            .unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_all_at(&pattern(65_536), 1 << 20).unwrap();
        file.sync_all().unwrap();
        let seek = |from, whence| outcome(lseek(&file, from, whence).map_err(io::Error::from));
        [
            seek(0, Whence::SeekData),
            seek(0, Whence::SeekHole),
            seek(1 << 20, Whence::SeekHole),
            seek(2 << 20, Whence::SeekData),
            seek(5 << 20, Whence::SeekHole),
        ]
    });
}

#[test]
fn fallocate_reserves_keeps_the_size_punches_and_zeroes() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let path = dir.join("file");
        fs::write(&path, pattern(40_000)).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let allocate = |mode, from, len| outcome(fallocate(&file, mode, from, len).map_err(io::Error::from));
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let results = [
            allocate(FallocateFlags::empty(), 0, 50_000),
            allocate(keep, 50_000, 50_000),
            allocate(keep | FallocateFlags::FALLOC_FL_PUNCH_HOLE, 4096, 8192),
            allocate(FallocateFlags::FALLOC_FL_ZERO_RANGE, 20_000, 100),
            allocate(FallocateFlags::empty(), 0, 0),
        ];
        (results, fs::read(&path).unwrap())
    });
}

#[test]
fn copy_file_range_copies_between_files_and_within_one() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::write(&from, pattern(300_000)).unwrap();
        let (source, target) = (File::open(&from).unwrap(), File::create(&to).unwrap());
        let mut copied = 0;
        while copied < 300_000 {
            let at = i64::try_from(copied).unwrap();
            match copy_file_range((&source, at), (&target, at), 300_000 - copied) {
                Ok(0) => break,
                Ok(n) => copied += n,
                Err(e) => panic!("after {copied} bytes: {e}"),
            }
        }
        let both = OpenOptions::new().read(true).write(true).open(&to).unwrap();
        let within = copy_file_range((&both, 0), (&both, 300_000), 1000);
        (copied, outcome(within), fs::read(&to).unwrap())
    });
}

#[test]
fn an_unlinked_file_lives_on_in_its_descriptors() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let path = dir.join("file");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all(b"before").unwrap();
        fs::remove_file(&path).unwrap();
        file.write_all(b" after").unwrap();
        file.set_len(9).unwrap();
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        let meta = file.metadata().unwrap();
        (text, std::os::unix::fs::MetadataExt::nlink(&meta), meta.len(), outcome(fs::read(&path)))
    });
}

#[test]
fn fsync_fdatasync_and_advice_are_accepted() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let mut file = File::create(dir.join("file")).unwrap();
        file.write_all(&pattern(10_000)).unwrap();
        let advice = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        let directory = File::open(dir).unwrap();
        let of_directory = outcome(directory.sync_all());
        [
            outcome(file.sync_data()),
            outcome(file.sync_all()),
            outcome(advice.map_err(io::Error::from)),
            of_directory,
        ]
    });
}

#[test]
fn one_writer_and_one_reader_see_the_same_file_at_once() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        let path = dir.join("file");
        let mut writer = File::create(&path).unwrap();
        let mut reader = File::open(&path).unwrap();
        let mut seen = String::new();
        for word in ["one ", "two ", "three"] {
            writer.write_all(word.as_bytes()).unwrap();
            reader.read_to_string(&mut seen).unwrap();
        }
        (seen, fs::metadata(&path).unwrap().len())
    });
}

#[test]
fn a_write_clears_the_set_id_bits_of_a_file() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_101);
    twin.same(|dir| {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("file");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
        let before = describe(&path);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"y").unwrap();
        let written = describe(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
        nix::unistd::truncate(&path, 0).unwrap();
        (before, written, describe(&path))
    });
}

#[test]
fn whether_a_file_is_a_terminal_is_answered_without_a_word_in_the_log() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_680);
    let answer = twin.same(|dir| nix::unistd::isatty(File::create(dir.join("file")).unwrap()));
    assert_eq!(answer, Ok(false));
    assert_eq!(twin.log(), "");
}
