//! Mapped files and programs.
use std::fs::{self, File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use obuilder_tests::Twin;
use obuilder_tests::memory::{Mapping, Sharing};
use obuilder_tests::observe::outcome;

use crate::can_mount;

const LEN: usize = 3 * 4096;

fn mapped(path: &Path, sharing: Sharing) -> (File, Mapping) {
    fs::write(path, vec![b'.'; LEN]).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mapping = Mapping::new(&file, NonZeroUsize::new(LEN).unwrap(), sharing).unwrap();
    (file, mapping)
}

#[test]
fn stores_to_a_shared_mapping_reach_the_file_and_writes_reach_the_mapping() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        let path = dir.join("file");
        let (file, mut mapping) = mapped(&path, Sharing::Shared);
        mapping.set(5000, b'm');
        mapping.sync().unwrap();
        let mut byte = [0];
        File::open(&path).unwrap().read_exact_at(&mut byte, 5000).unwrap();
        file.write_all_at(b"w", 6000).unwrap();
        (byte, mapping.get(6000))
    });
}

#[test]
fn two_shared_mappings_of_one_file_are_one_memory() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        let path = dir.join("file");
        let (_file, mut one) = mapped(&path, Sharing::Shared);
        let other = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let two = Mapping::new(&other, NonZeroUsize::new(LEN).unwrap(), Sharing::Shared).unwrap();
        one.set(1, b'x');
        two.get(1)
    });
}

#[test]
fn stores_to_a_private_mapping_stay_private() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        let path = dir.join("file");
        let (_file, mut mapping) = mapped(&path, Sharing::Private);
        mapping.set(0, b'p');
        (mapping.get(0), fs::read(&path).unwrap()[0])
    });
}

#[test]
fn a_mapping_outlives_its_descriptor_and_its_name() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        let path = dir.join("file");
        let (file, mut mapping) = mapped(&path, Sharing::Shared);
        drop(file);
        fs::remove_file(&path).unwrap();
        mapping.set(7, b'!');
        mapping.sync().unwrap();
        (mapping.get(7), mapping.get(8))
    });
}

/// Installs a copy of `/bin/true`'s sibling `echo` as `path`.
fn install_program(path: &Path) {
    fs::copy("/bin/echo", path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn said(path: &Path, arg: &str) -> String {
    outcome(Command::new(path).arg(arg).output().map(|out| String::from_utf8_lossy(&out.stdout).into_owned()))
}

#[test]
fn programs_and_scripts_run_from_the_mount() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        fs::create_dir(dir.join("bin")).unwrap();
        let (program, script) = (dir.join("bin/program"), dir.join("bin/script"));
        install_program(&program);
        fs::write(&script, "#!/bin/sh\necho script \"$1\"\n").unwrap();
        let not_yet = said(&script, "a");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        symlink("program", dir.join("bin/link")).unwrap();
        (not_yet, said(&program, "a"), said(&script, "b"), said(&dir.join("bin/link"), "c"))
    });
}

#[test]
fn a_scripts_interpreter_may_lie_on_the_mount() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        fs::copy("/bin/sh", dir.join("sh")).unwrap();
        let script = dir.join("script");
        fs::write(&script, format!("#!{}/sh\necho ran \"$1\"\n", dir.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = said(&script, "x");
        // It names its directory, which differs between the two.
        fs::remove_file(&script).unwrap();
        ran
    });
}

#[test]
fn a_running_program_knows_its_path_and_is_not_written_over() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        fs::create_dir(dir.join("bin")).unwrap();
        let program = dir.join("bin/waits");
        fs::copy("/bin/cat", &program).unwrap();
        let mut child = Command::new(&program)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // `cat` answers only once it runs.
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        std::io::Write::write_all(&mut stdin, b"!").unwrap();
        std::io::Read::read_exact(&mut stdout, &mut [0]).unwrap();
        let seen = fs::read_link(format!("/proc/{}/exe", child.id())).map(|path| path == program);
        let busy = OpenOptions::new().write(true).open(&program).map(drop);
        drop(stdin);
        child.wait().unwrap();
        (outcome(seen), outcome(busy))
    });
}

#[test]
fn set_user_id_bits_lend_nothing() {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.prepare(|dir| {
        fs::copy("/usr/bin/id", dir.join("id")).unwrap();
        fs::set_permissions(dir.join("id"), fs::Permissions::from_mode(0o4755)).unwrap();
    });
    let id = twin.mounted.join("id");
    assert_eq!(fs::metadata(twin.backing.join("id")).unwrap().mode() & 0o7777, 0o4755);
    let out = twin.user.run(|| Command::new(&id).arg("-u").output().unwrap());
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "41110");
}

/// Whether the time of modification moves with each store to a mapping, with its end, and with nothing; the file
/// is `closed` before, or open.
fn moves(path: &Path, closed: bool) -> Vec<bool> {
    let mtime = || fs::metadata(path).map(|meta| (meta.mtime(), meta.mtime_nsec())).unwrap();
    let mut last = mtime();
    let mut moved = |what: &dyn Fn()| {
        // The kernel's clock ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        what();
        let now = mtime();
        std::mem::replace(&mut last, now) != now
    };
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mapping = std::cell::RefCell::new(Some(
        Mapping::new(&file, NonZeroUsize::new(LEN).unwrap(), Sharing::Shared).unwrap(),
    ));
    let _open = (!closed).then_some(file);
    let store = |value| {
        if let Some(mapping) = mapping.borrow_mut().as_mut() {
            mapping.set(1, value);
            mapping.sync().unwrap();
        }
    };
    vec![moved(&|| store(1)), moved(&|| store(2)), moved(&|| drop(mapping.take())), moved(&|| {})]
}

fn moves_as_natively(closed: bool) {
    if !can_mount() {
        return;
    }
    let twin = Twin::new(41_110);
    twin.same(|dir| {
        fs::create_dir(dir.join("d")).unwrap();
        ["d/file", "file"].map(|name| {
            let path = dir.join(name);
            fs::write(&path, vec![b'.'; LEN]).unwrap();
            moves(&path, closed)
        })
    });
}

#[test]
fn stores_to_a_shared_mapping_move_the_time_of_modification() {
    moves_as_natively(false);
}

#[test]
fn stores_to_a_mapping_that_outlives_its_descriptor_move_the_time_of_modification() {
    moves_as_natively(true);
}
