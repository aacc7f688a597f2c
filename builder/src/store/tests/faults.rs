//! Everything that a store does, cut short at every system call that changes something, and every such call failing.
//!
//! The driver, a process of its own, runs under strace(1), which kills it at the call or lets that fail.
#![cfg(target_os = "linux")]
use std::collections::{BTreeMap, HashMap};
use std::process::{Command, Output};

use super::*;
use crate::store::doctor::examine;
use crate::transfer::trees::require;

/// Tells the test binary, run again as the driver, which store to work on.
const STORE: &str = "OBUILDER_TEST_FAULTS_IN";

/// What changes a store, on whichever backend, without the bytes of files.
const CALLS: &str = "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,\
                     ioctl,umount2,fsopen,fsconfig,fsmount,move_mount,pwrite64,ftruncate,fchown,chown,fsync,\
                     fdatasync,syncfs,copy_file_range";

/// The exit code of the driver for an error that it was told.
const TOLD: i32 = 7;

#[test]
#[ignore = "is run by the other tests as a process of its own"]
fn driver() {
    let Some(url) = std::env::var_os(STORE) else { return };
    if let Err(error) = drive(&url.into_string().unwrap().parse().unwrap()) {
        eprintln!("told: {error}");
        std::process::exit(TOLD);
    }
    eprintln!("done");
}

/// Keeps 3, drops 4, deletes 5, changes one cache, makes another and deletes it.
fn drive(url: &StoreUrl) -> Result<(), StoreError> {
    let written =
        |done: std::io::Result<()>, path: PathBuf| done.map_err(|e| StoreError::io("write", path, e));
    let store = open(url)?;
    let Claim::Build(draft) = store.claim(&id(3), Some(&id(2)))? else { return Ok(()) };
    written(fs::write(draft.rootfs().join("3"), "file 3"), draft.rootfs())?;
    written(fs::write(draft.log(), "log 3"), draft.log())?;
    drop(draft.keep()?);
    drop(store.claim(&id(4), Some(&id(3)))?);
    store.delete(&id(5))?;
    let cache = store.cache("c".as_ref(), (0, 0))?;
    written(fs::write(cache.dir().join("kept"), "second"), cache.dir().to_owned())?;
    cache.release()?;
    store.cache("d".as_ref(), (0, 0))?.release()?;
    for name in store.caches()? {
        if store.cache_title(&name) == "d" {
            store.delete_cache(&name)?;
        }
    }
    store.sync()
}

/// A store in which all that is.
fn prepare(url: &StoreUrl) {
    let store = open(url).unwrap();
    for (number, base) in [(1, None), (2, Some(1)), (5, Some(1))] {
        let draft = draft(&*store, number, base);
        fs::write(draft.rootfs().join(number.to_string()), format!("file {number}")).unwrap();
        fs::write(draft.log(), format!("log {number}")).unwrap();
        fs::write(draft.env(), "((env ()))").unwrap();
        draft.keep().unwrap();
    }
    let cache = store.cache("c".as_ref(), (0, 0)).unwrap();
    fs::write(cache.dir().join("kept"), "first").unwrap();
    cache.release().unwrap();
}

/// Runs the driver; `fault`, as strace calls it, befalls it. What it did is in `trace`.
fn run(url: &StoreUrl, fault: Option<String>, trace: &Path) -> Output {
    let injected = fault.map(|fault| ["-e".to_owned(), format!("inject={fault}")]);
    Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-o"])
        .arg(trace)
        .args(injected.iter().flatten())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::faults::driver", "--ignored", "--nocapture"])
        .env(STORE, url.to_string())
        .output()
        .unwrap()
}

/// How often the driver makes each call.
fn calls(url: &StoreUrl, trace: &Path) -> BTreeMap<String, usize> {
    let output = run(url, None, trace);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut by_thread = HashMap::<_, BTreeMap<_, _>>::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        *by_thread.entry(thread.to_owned()).or_default().entry(name.to_owned()).or_default() += 1;
    }
    by_thread.into_values().max_by_key(|calls| calls.values().sum::<usize>()).unwrap()
}

/// What must be so after anything that befell the driver.
fn check(url: &StoreUrl, what: &str) {
    let store = open(url).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = |number: u8| store.peek(&id(number)).unwrap();
    for number in [1, 2, 3, 5] {
        let Some(result) = found(number) else {
            assert!(number == 3 || number == 5, "{what}: {number} is lost");
            continue;
        };
        let tree = result.tree().unwrap();
        let file = fs::read_to_string(tree.join(number.to_string())).unwrap();
        assert_eq!(file, format!("file {number}"), "{what}");
        assert_eq!(fs::read_to_string(result.log()).unwrap(), format!("log {number}"), "{what}");
        assert_eq!(fs::read_to_string(result.env()).unwrap(), "((env ()))", "{what}");
    }
    assert!(found(4).is_none(), "{what}");
    let findings = examine(url).unwrap();
    assert!(findings.is_empty(), "{what}: {findings:?}");
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let inside = format!("{}/", url.dir().display());
    assert!(!mounts.contains(&inside), "{what}: {mounts}");
    let cache = store.cache("c".as_ref(), (0, 0)).unwrap();
    let kept = fs::read_to_string(cache.dir().join("kept"));
    // A cache is replaced in two moves; between them there is none, and a new one begins.
    assert!(matches!(kept.as_deref(), Ok("first" | "second")) || kept.is_err(), "{what}: {kept:?}");
    cache.abandon().unwrap();
    drive(url).unwrap();
    assert!(found(3).is_some() && found(4).is_none(), "{what}");
    let children: Vec<_> = store.list().unwrap().iter().map(|entry| entry.children).collect();
    let expected = if found(5).is_some() { vec![2, 1, 0, 0] } else { vec![1, 1, 0] };
    assert_eq!(children, expected, "{what}");
}

/// Lets `fault` befall the driver at every `step`th of its calls, each time on a store of its own.
fn at_every_call(kind: Kind, fault: &str, step: usize) {
    if !require("strace", Command::new("strace").arg("-V").output().is_ok()) {
        return;
    }
    let site = Site::new(kind);
    fs::create_dir_all(site.url().dir()).unwrap();
    let trace = site.temp.path().join("trace");
    let store = || -> StoreUrl { format!("{}/store", site.url()).parse().unwrap() };
    prepare(&store());
    let calls = calls(&store(), &trace);
    let all = calls.iter().flat_map(|(name, &count)| (1..=count).map(move |nth| (name, nth)));
    for (name, nth) in all.step_by(step) {
        clear(&store());
        prepare(&store());
        let fault = format!("{name}:{fault}:when={nth}");
        let output = run(&store(), Some(fault.clone()), &trace);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{fault}: {said}");
        let befell = fs::read_to_string(&trace).unwrap();
        assert!(befell.contains("INJECTED") || befell.contains("killed by"), "{fault}: {befell}");
        check(&store(), &fault);
    }
}

/// Removes the store with all that is in it.
fn clear(url: &StoreUrl) {
    let backend = crate::store::backend(url).unwrap();
    for part in ["result", "result-tmp", "cache", "cache-tmp"].map(|part| url.dir().join(part)) {
        backend.names(&part).unwrap().iter().for_each(|name| backend.discard(&part.join(name)).unwrap());
    }
    crate::transfer::remove::remove_tree(url.dir()).unwrap();
}

fn a_store_whose_builder_was_killed_at_any_call_is_whole(kind: Kind) {
    at_every_call(kind, "signal=KILL", 1);
}

fn a_store_any_call_of_which_failed_is_whole(kind: Kind) {
    at_every_call(kind, "error=EIO", 2);
}

// The other kinds differ from these in no call that could be cut short.
on_backend! { hardlinks_needs_strace Hardlinks:
    a_store_whose_builder_was_killed_at_any_call_is_whole
    a_store_any_call_of_which_failed_is_whole
}
on_backend! { directories_on_btrfs_needs_root_and_strace OnBtrfs:
    a_store_whose_builder_was_killed_at_any_call_is_whole
    a_store_any_call_of_which_failed_is_whole
}
on_backend! { btrfs_needs_root_and_strace Btrfs:
    a_store_whose_builder_was_killed_at_any_call_is_whole
    a_store_any_call_of_which_failed_is_whole
}
on_backend! { overlayfs_needs_root_and_strace Overlayfs:
    a_store_whose_builder_was_killed_at_any_call_is_whole
    a_store_any_call_of_which_failed_is_whole
}
