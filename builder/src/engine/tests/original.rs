//! Stores made by OBuilder 0.7: used as they are, and still OBuilder's afterwards.
use rusqlite::Connection;

use super::*;

/// A base image, a copy and two commands.
const SPEC: &str =
    "((from b)(shell /bin/sh -c)(copy (src a)(dst /a))(run (shell \"echo one\"))(run (shell two)))";

/// How OBuilder names them, in its own words.
fn ids() -> [StepId; 4] {
    let user = "(user((uid 0)(gid 0)))";
    let from = StepId::of(b"b");
    let file = format!("(File(a {}))", StepId::of(b"A"));
    let copy = StepId::of(format!("((base {from}){user}(op(Copy_item({file}/a))))").as_bytes());
    let run = |base: &StepId, cmd: &str| {
        let inputs = format!(
            "((base {base})(workdir /){user}(env((PATH /bin)))(cmd{cmd})(shell(/bin/sh -c))(network())(mount_secrets()))"
        );
        StepId::of(inputs.as_bytes())
    };
    let one = run(&copy, "\"echo one\"");
    let two = run(&one, " two");
    [from, copy, one, two]
}

/// What the original runs when it makes a database.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS builds (
                       id       TEXT PRIMARY KEY,
                       created  DATETIME NOT NULL,
                       used     DATETIME NOT NULL,
                       rc       INTEGER NOT NULL,
                       parent   TEXT,
                       FOREIGN KEY (parent) REFERENCES builds (id) ON DELETE RESTRICT
                     );
    CREATE INDEX IF NOT EXISTS lru ON builds (rc, used);";

impl Site {
    fn database(&self) -> Connection {
        Connection::open(self.dir.path().join("store/state/db/db.sqlite")).unwrap()
    }

    fn rows(&self) -> Vec<(String, i64, Option<String>)> {
        let database = self.database();
        let mut select = database.prepare("SELECT id, rc, parent FROM builds ORDER BY rowid").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

/// Lays out a store as the original does, and runs `pragmas` on its database.
fn site(pragmas: &str) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    for below in ["result", "result-tmp", "cache", "cache-tmp", "state/db", "state/sandbox", "../src"] {
        fs::create_dir_all(store.join(below)).unwrap();
    }
    fs::write(dir.path().join("src/a"), "A").unwrap();
    for (n, id) in ids().iter().enumerate() {
        let result = store.join("result").join(id.as_str());
        fs::create_dir_all(result.join("rootfs")).unwrap();
        fs::write(result.join("env"), "((env ((PATH /bin))))").unwrap();
        fs::write(result.join("log"), ["", "", "one\n", "no newline"][n]).unwrap();
    }
    let database = Connection::open(store.join("state/db/db.sqlite")).unwrap();
    database.execute_batch(&format!("{pragmas}; {SCHEMA}")).unwrap();
    let mut parent: Option<&StepId> = None;
    let ids = ids();
    for id in &ids {
        let add = "INSERT INTO builds VALUES (?1, '2023-01-02 03:04:05', '2023-01-02 03:04:05', 0, ?2)";
        database.execute(add, (id.as_str(), parent.map(StepId::as_str))).unwrap();
        let count = "UPDATE builds SET rc = rc + 1 WHERE id = ?1";
        database.execute(count, [parent.map(StepId::as_str)]).unwrap();
        parent = Some(id);
    }
    drop(database);
    let opened = store::open(&StoreUrl::Rsync(store)).unwrap();
    Site { dir, store: opened, sandbox: Arc::default() }
}

/// What the original runs on a store: finding, adding below `parent`, listing the least recently used, deleting.
fn original_goes_on(site: &Site, parent: &StepId) {
    let database = site.database();
    database.execute_batch("PRAGMA foreign_keys = on").unwrap();
    let run = |statement: &str| database.execute(statement, [parent.as_str()]).unwrap();
    assert_eq!(run("UPDATE builds SET used = '2030-01-01 00:00:00' WHERE id = ?1"), 1);
    database.execute_batch("BEGIN TRANSACTION").unwrap();
    let add = "INSERT OR REPLACE INTO builds (id, created, used, rc, parent)
               VALUES ('new', '2030-01-01 00:00:00', '2030-01-01 00:00:00', 0, ?1)";
    assert_eq!(run(add), 1);
    assert_eq!(run("UPDATE builds SET rc = rc + 1 WHERE id = ?1"), 1);
    database.execute_batch("COMMIT").unwrap();
    let lru = "SELECT id FROM builds WHERE rc = 0 AND used < '2031-01-01 00:00:00' ORDER BY used ASC LIMIT 1";
    let oldest: String = database.query_row(lru, [], |row| row.get(0)).unwrap();
    assert_eq!(oldest, "new");
    database.execute("DELETE FROM builds WHERE id = 'new'", []).unwrap();
    assert_eq!(run("UPDATE builds SET rc = rc - 1 WHERE id = ?1"), 1);
}

#[test]
fn every_step_of_a_store_that_the_original_made_is_cached() {
    for pragmas in ["PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", "PRAGMA journal_mode = DELETE"]
    {
        let site = site(pragmas);
        let (shown, built) = site.build(SPEC);
        let [from, copy, one, two] = ids();
        assert_eq!(built, Ok(two.clone()), "{shown}");
        let log = format!(
            "(from b)\n---> using \"{from}\" from cache\n/: (shell /bin/sh -c)\n/: (copy (src a) (dst /a))\n\
             ---> using \"{copy}\" from cache\n/: (run (shell \"echo one\"))\none\n---> using \"{one}\" from cache\n\
             /: (run (shell two))\nno newline---> using \"{two}\" from cache\n"
        );
        assert_eq!(shown, log);
        assert_eq!(site.commands(), [""; 0]);
    }
}

#[test]
fn the_original_goes_on_with_a_store_that_we_used() {
    let site = site("PRAGMA journal_mode = WAL");
    let more = SPEC.replace("(shell two)))", "(shell two))(run (shell three)))");
    let three = site.build(&more).1.unwrap();
    site.store.sync().unwrap();
    let [from, copy, one, two] = ids().map(|id| id.to_string());
    let row = |id: &String, rc, parent: Option<&String>| (id.clone(), rc, parent.cloned());
    let expected = [
        row(&from, 1, None),
        row(&copy, 1, Some(&from)),
        row(&one, 1, Some(&copy)),
        row(&two, 1, Some(&one)),
        row(&three.to_string(), 0, Some(&two)),
    ];
    assert_eq!(site.rows(), expected);
    let times = "SELECT count(*) FROM builds WHERE created = datetime(created) AND used = datetime(used)
                 AND used > '2023-02-01'";
    assert_eq!(site.database().query_row(times, [], |row| row.get::<_, i64>(0)).unwrap(), 5);
    let result = site.dir.path().join("store/result").join(three.as_str());
    assert_eq!(fs::read(result.join("env")).unwrap(), b"((env ((PATH /bin))))");
    assert_eq!(fs::read(result.join("log")).unwrap(), b"three");
    original_goes_on(&site, &three);
    assert_eq!(site.rows(), expected);
}

#[test]
fn rows_that_drifted_in_the_originals_hands_do_no_harm() {
    let site = site("PRAGMA journal_mode = WAL");
    let [from, copy, one, two] = ids();
    let drift = format!(
        "PRAGMA foreign_keys = off;
         UPDATE builds SET rc = 0 WHERE id = '{from}';
         UPDATE builds SET rc = 7 WHERE id = '{two}';
         DELETE FROM builds WHERE id = '{one}';"
    );
    site.database().execute_batch(&drift).unwrap();
    assert_eq!(site.build(SPEC).1, Ok(two.clone()));
    let error = site.store.delete(&from).unwrap_err().to_string();
    assert_eq!(error, format!("cannot delete {from}: 1 other result is built on it; delete that first"));
    let deleted = |id: &StepId| {
        let mut gone = Vec::new();
        store::removal::delete(&*site.store, id, |id| gone.push(id.clone())).unwrap();
        gone
    };
    // What `one` was made from, nobody knows any more.
    assert_eq!(deleted(&from), [copy.clone(), from]);
    assert_eq!(deleted(&one), [two, one]);
    assert_eq!(site.rows(), []);
    assert_eq!(fs::read_dir(site.dir.path().join("store/result")).unwrap().count(), 0);
}
