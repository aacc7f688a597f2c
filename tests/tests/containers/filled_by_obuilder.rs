//! Stores that OBuilder 0.7 filled: everything in them is found, and OBuilder can go on with them.
use std::fs;
use std::path::Path;
use std::process::Command;

use obuilder_tests::build::names;
use obuilder_tests::{Containers, Need, mountinfo, require};
use rusqlite::Connection;

use crate::can_build;

/// An image from docker, a copy and a command, as in the original's own output.
const SPEC: &str =
    "((from busybox-local) (shell /bin/sh -c) (copy (src a d) (dst /t/)) (run (shell \"ls -R /t\")))";

/// What OBuilder calls their results.
const IDS: [&str; 3] = [
    "75063db19dc45fc23c47e4262cd4267b9d041d779ef3e23b3dc134271de74cc1",
    "5c8173f7eb6a51f196b4c6f2aa93ffe5abd8e70f3bb8e9f5a7dafe2c379c5854",
    "477098f2020850c666dd189daac767ac81568cb388dae0581e145d9c8b5ceb43",
];

/// The table as OBuilder makes it.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS builds (
                       id       TEXT PRIMARY KEY,
                       created  DATETIME NOT NULL,
                       used     DATETIME NOT NULL,
                       rc       INTEGER NOT NULL,
                       parent   TEXT,
                       FOREIGN KEY (parent) REFERENCES builds (id) ON DELETE RESTRICT
                     ); CREATE INDEX IF NOT EXISTS lru ON builds (rc, used);";

const ENV: &str = "((env ((PATH /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin))))";

/// What each step printed.
const LOGS: [&str; 3] = ["Unable to find image locally\n", "", "/t:\na\nd\n\n/t/d:\nc\n"];

/// Lays out the store as OBuilder does; `make` makes the directory of a result, and `seal` finishes it.
fn fill(build: &Containers, make: impl Fn(&Path), seal: impl Fn(&Path)) {
    for below in ["result", "result-tmp", "cache", "cache-tmp", "state/db", "state/sandbox"] {
        fs::create_dir_all(build.store.join(below)).unwrap();
    }
    for (id, log) in IDS.iter().zip(LOGS) {
        let result = build.store.join("result").join(id);
        make(&result);
        let copied = Command::new("cp").arg("-a").arg(&build.image).arg(result.join("rootfs")).status();
        assert!(copied.unwrap().success());
        fs::write(result.join("log"), log).unwrap();
        fs::write(result.join("env"), ENV).unwrap();
        seal(&result);
    }
    let database = database(build);
    database
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;")
        .unwrap();
    database.execute_batch(SCHEMA).unwrap();
    for (n, id) in IDS.iter().enumerate() {
        let parent = n.checked_sub(1).map(|n| IDS[n]);
        let add = "INSERT INTO builds VALUES (?1, '2024-05-06 07:08:09', '2024-05-06 07:08:09', ?2, ?3)";
        database.execute(add, rusqlite::params![id, i64::from(n < 2), parent]).unwrap();
    }
    fs::write(build.source.join("a"), "a").unwrap();
    fs::create_dir_all(build.source.join("d")).unwrap();
    fs::write(build.source.join("d/c"), "c").unwrap();
}

fn database(build: &Containers) -> Connection {
    Connection::open(build.store.join("state/db/db.sqlite")).unwrap()
}

/// All that SQLite knows of tables and indices.
fn schema(build: &Containers) -> Vec<String> {
    let database = database(build);
    let mut select =
        database.prepare("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Builds on the store, as the program that filled it would, and then as that program goes on.
fn is_used_and_stays_obuilders(build: &Containers, filled: &[String]) {
    let ended = build.run(SPEC).done();
    assert_eq!(ended.stdout.matches("---> using \"").count(), 3, "{}", ended.stdout);
    assert_eq!(ended.id(), IDS[2]);
    assert!(ended.stdout.contains(LOGS[0]) && ended.stdout.contains(LOGS[2]), "{}", ended.stdout);

    let further = SPEC.strip_suffix(')').unwrap().to_owned() + " (run (shell \"echo more > /more\")))";
    let ended = build.run(&further).done();
    let result = build.store.join("result").join(ended.id());
    assert_eq!(names(&result), ["env", "log", "rootfs"]);
    assert_eq!(fs::read_to_string(result.join("env")).unwrap(), ENV);
    assert_eq!(fs::read_to_string(result.join("rootfs/more")).unwrap(), "more\n");

    let now = schema(build);
    assert!(
        filled.iter().all(|theirs| now.contains(theirs)),
        "OBuilder knows this table and this index: {now:?}"
    );
    let added = now.iter().filter(|sql| !filled.contains(sql));
    assert!(
        { added }.all(|sql| sql.starts_with("CREATE INDEX ")),
        "SQLite keeps an index for whoever writes: {now:?}"
    );
    let database = database(build);
    database.execute_batch("PRAGMA foreign_keys=ON").unwrap();
    let rc = |id: &str| {
        database.query_row("SELECT rc FROM builds WHERE id = ?1", [id], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!([rc(IDS[0]), rc(IDS[1]), rc(IDS[2]), rc(ended.id())], [1, 1, 1, 0]);
    let form = "SELECT count(*) FROM builds WHERE used GLOB '[0-9]*-??-?? ??:??:??' AND used > '2024-05-06 07:08:09'";
    assert_eq!(database.query_row(form, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
    // A result of its own on top of ours, and the least recently used one away.
    let own = "f".repeat(64);
    database
        .execute(
            "INSERT INTO builds VALUES (?1, '2024-05-06 07:08:10', '2024-05-06 07:08:10', 0, ?2)",
            [own.as_str(), ended.id()],
        )
        .unwrap();
    let oldest = "SELECT id FROM builds WHERE rc = 0 AND used < '2025-01-01 00:00:00' ORDER BY used LIMIT 1";
    assert_eq!(database.query_row(oldest, [], |row| row.get::<_, String>(0)).unwrap(), own);
    database.execute("DELETE FROM builds WHERE id = ?1", [own.as_str()]).unwrap();
}

#[test]
fn a_store_of_directories_is_used_and_stays_obuilders() {
    if !can_build() {
        return;
    }
    let build = Containers::new();
    fill(&build, |dir| fs::create_dir(dir).unwrap(), |_| ());
    let filled = schema(&build);
    is_used_and_stays_obuilders(&build, &filled);
}

fn btrfs(words: &[&str], at: &Path) {
    let done = Command::new("btrfs").args(words).arg(at).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_store_of_subvolumes_is_used_and_stays_obuilders() {
    if !can_build() || !require(&[Need::Tool("mkfs.btrfs"), Need::Tool("btrfs")]) {
        return;
    }
    let mut build = Containers::new();
    let (image, dir) = (build.scratch.path().join("btrfs.image"), build.scratch.dir("btrfs"));
    fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
    for command in [
        Command::new("mkfs.btrfs").arg("-q").arg(&image),
        Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&dir),
    ] {
        assert!(command.status().unwrap().success(), "{command:?}");
    }
    build.store = dir.join("store");
    build.kind = "btrfs";
    let create = |dir: &Path| btrfs(&["subvolume", "create"], dir);
    fill(&build, create, |dir| {
        btrfs(&["property", "set", "-ts", &dir.display().to_string(), "ro"], Path::new("true"));
    });
    let filled = schema(&build);
    is_used_and_stays_obuilders(&build, &filled);
    assert!(mountinfo::at(&dir).is_some(), "it is taken down with the scratch directory");
}
