//! What a store remembers of its results: when they were made and used, and which was made from which.
//!
//! The file, the table and the form of the times are OBuilder's. The directories are the truth: a result
//! without a row gets one when it is found, and a row whose result is gone goes when it is missed.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{Entry, StoreError, Time};
use crate::step::StepId;

/// How long to wait for other processes. Each holds the database for some milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// `rc` is the number of rows that have this one as their parent; `lru` finds what may go first. `children`, which
/// OBuilder's has not, finds what was made from a result: else each deletion would look at all rows.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS builds (
        id TEXT PRIMARY KEY, created DATETIME NOT NULL, used DATETIME NOT NULL, rc INTEGER NOT NULL,
        parent TEXT, FOREIGN KEY (parent) REFERENCES builds (id) ON DELETE RESTRICT);
    CREATE INDEX IF NOT EXISTS lru ON builds (rc, used);
    CREATE INDEX IF NOT EXISTS children ON builds (parent);";

/// How long to wait for them only to note what was used.
const LITTLE_PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Database {
    path: PathBuf,
    patience: Duration,
    connection: Mutex<Connection>,
    /// Results that were used and are not marked so yet: one transaction for each would cost a build that finds
    /// everything in the store more than all the rest.
    used: Mutex<BTreeSet<StepId>>,
}

impl Database {
    /// Opens it, and makes it if there is none. Not to be done by two at once on a new store.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_patiently(path, PATIENCE)
    }

    fn open_patiently(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Database { path: path.to_owned(), source };
        let connection = Mutex::new(connect(path, patience).map_err(failed)?);
        Ok(Self { path: path.to_owned(), patience, connection, used: Mutex::default() })
    }

    /// Adds the result `id`, made from `parent`. `place` puts its directory in place: the row is there only if
    /// that succeeds.
    pub(super) fn add(
        &self,
        id: &StepId,
        parent: Option<&StepId>,
        place: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.write(|rows| {
            rows.put(id, parent).map_err(|e| self.failed(e))?;
            place()
        })
    }

    /// Whether `id` has a row.
    pub(super) fn knows(&self, id: &StepId) -> Result<bool, StoreError> {
        Ok(self.ask("SELECT 1 FROM builds WHERE id = ?1", id)?.is_some())
    }

    /// All rows whose ids are ids.
    pub(super) fn rows(&self) -> Result<Vec<Entry>, StoreError> {
        let connection = self.connection.lock();
        let select =
            "SELECT id, strftime('%s', created), strftime('%s', used), parent, rc FROM builds ORDER BY id";
        let rows = connection.prepare(select).and_then(|mut select| {
            let rows = select.query_map([], entry)?;
            rows.collect::<Result<Vec<_>, _>>()
        });
        Ok(rows.map_err(|e| self.failed(e))?.into_iter().flatten().collect())
    }

    /// Gives rows to results that have none, with the time they were made.
    pub(super) fn register(&self, results: &[(StepId, Time)]) -> Result<(), StoreError> {
        self.write(|rows| {
            results
                .iter()
                .try_for_each(|(id, made)| rows.register_made(id, *made))
                .map_err(|e| self.failed(e))
        })
    }

    /// Gives a row the times of `entry`, which was listed elsewhere.
    pub(super) fn stamp(&self, entry: &Entry) -> Result<(), StoreError> {
        self.write(|rows| rows.stamp(entry).map_err(|e| self.failed(e)))
    }

    /// Notes that `id`, whose directory was found, is used now. Written down by [`Database::mark_used`].
    pub(super) fn touch(&self, id: &StepId) {
        self.used.lock().insert(id.clone());
    }

    /// Writes down what was used. A result that `is_there` without a row gets one.
    pub(super) fn mark_used(&self, is_there: impl Fn(&StepId) -> bool) -> Result<(), StoreError> {
        let used = std::mem::take(&mut *self.used.lock());
        if used.is_empty() {
            return Ok(());
        }
        self.connection
            .lock()
            .busy_timeout(LITTLE_PATIENCE.min(self.patience))
            .map_err(|e| self.failed(e))?;
        let done = self.write(|rows| {
            let gone = |id: &&StepId| rows.touch(id).map(|known| !known && is_there(id));
            for id in &used {
                if gone(&id).map_err(|e| self.failed(e))? {
                    rows.register(id.as_str()).map_err(|e| self.failed(e))?;
                }
            }
            Ok(())
        });
        let patient = self.connection.lock().busy_timeout(self.patience).map_err(|e| self.failed(e));
        done.and(patient)
    }

    /// Drops the row of `id`, whose directory was missed, unless `is_there` finds it after all: somebody may
    /// have put it in place just now. A row with children stays, or they would lose their parent and it its count.
    pub(super) fn forget(&self, id: &StepId, is_there: impl FnOnce() -> bool) -> Result<(), StoreError> {
        if !self.knows(id)? {
            return Ok(());
        }
        self.write(|rows| {
            if !is_there() && rows.children(id).map_err(|e| self.failed(e))? == 0 {
                rows.remove(id).map_err(|e| self.failed(e))?;
            }
            Ok(())
        })
    }

    /// Drops the row of `id` if it has no children, and if `remove` succeeds in taking its directory away.
    pub(super) fn delete(
        &self,
        id: &StepId,
        remove: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.write(|rows| {
            let children = rows.children(id).map_err(|e| self.failed(e))?;
            if children > 0 {
                return Err(StoreError::HasChildren { id: id.clone(), children });
            }
            rows.remove(id).map_err(|e| self.failed(e))?;
            remove()
        })
    }

    /// How many results are made from `id`.
    pub(super) fn children(&self, id: &StepId) -> Result<i64, StoreError> {
        Rows(&self.connection.lock()).children(id).map_err(|e| self.failed(e))
    }

    fn ask(&self, question: &str, id: &StepId) -> Result<Option<bool>, StoreError> {
        let connection = self.connection.lock();
        connection.query_row(question, [id.as_str()], |row| row.get(0)).optional().map_err(|e| self.failed(e))
    }

    /// One transaction, undone if `change` fails.
    fn write(&self, change: impl FnOnce(&Rows<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut connection = self.connection.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| self.failed(e))?;
        change(&Rows(&transaction))?;
        transaction.commit().map_err(|e| self.failed(e))
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }
}

/// Write-ahead logging lets others read while one writes. Its log is written back when it has grown, not each
/// time a process ends, which would cost every build some disk flushes; after a power failure the last rows may
/// be missing, and come back as their results are found.
fn connect(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(patience)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// A row as it is listed; `None` if its id is none. A time that is not in form counts as long ago.
fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let time = |n| -> rusqlite::Result<Time> {
        let text: Option<String> = row.get(n)?;
        Ok(Time(text.and_then(|text| text.parse().ok()).unwrap_or(0)))
    };
    let (id, parent): (String, Option<String>) = (row.get(0)?, row.get(3)?);
    let (created, used, children) = (time(1)?, time(2)?, row.get::<_, i64>(4)?);
    Ok(StepId::parse(&id).map(|id| Entry {
        id,
        created,
        used,
        parent: parent.as_deref().and_then(StepId::parse),
        children: usize::try_from(children).unwrap_or(0),
    }))
}

/// The table, inside a transaction.
struct Rows<'a>(&'a Connection);

impl Rows<'_> {
    fn put(&self, id: &StepId, parent: Option<&StepId>) -> rusqlite::Result<()> {
        if let Some(parent) = parent {
            self.register(parent.as_str())?;
        }
        let had_parent = self.parent(id)?.is_some();
        let put = "INSERT INTO builds VALUES (?1, datetime('now'), datetime('now'), 0, ?2)
            ON CONFLICT (id) DO UPDATE SET created = datetime('now'), used = datetime('now'),
                parent = coalesce(parent, excluded.parent)";
        self.0.execute(put, (id.as_str(), parent.map(StepId::as_str)))?;
        match parent {
            Some(parent) if !had_parent => self.count(parent.as_str(), 1),
            _ => Ok(()),
        }
    }

    fn stamp(&self, entry: &Entry) -> rusqlite::Result<()> {
        let stamp = "UPDATE builds SET created = datetime(?2, 'unixepoch'), used = datetime(?3, 'unixepoch')
            WHERE id = ?1";
        self.0.execute(stamp, (entry.id.as_str(), entry.created.0, entry.used.0)).map(drop)
    }

    /// Marks it as used; false if it has no row.
    fn touch(&self, id: &StepId) -> rusqlite::Result<bool> {
        let touch = "UPDATE builds SET used = datetime('now') WHERE id = ?1";
        Ok(self.0.execute(touch, [id.as_str()])? > 0)
    }

    /// Gives it a row if it has none.
    fn register(&self, id: &str) -> rusqlite::Result<()> {
        let register = "INSERT OR IGNORE INTO builds VALUES (?1, datetime('now'), datetime('now'), 0, NULL)";
        self.0.execute(register, [id]).map(drop)
    }

    fn register_made(&self, id: &StepId, made: Time) -> rusqlite::Result<()> {
        let register = "INSERT OR IGNORE INTO builds VALUES (?1, ?2, ?2, 0, NULL)";
        self.0.execute(register, (id.as_str(), made.to_string())).map(drop)
    }

    fn remove(&self, id: &StepId) -> rusqlite::Result<()> {
        let parent = self.parent(id)?;
        self.0.execute("DELETE FROM builds WHERE id = ?1", [id.as_str()])?;
        parent.map_or(Ok(()), |parent| self.count(&parent, -1))
    }

    fn parent(&self, id: &StepId) -> rusqlite::Result<Option<String>> {
        let select = "SELECT parent FROM builds WHERE id = ?1";
        Ok(self.0.query_row(select, [id.as_str()], |row| row.get(0)).optional()?.flatten())
    }

    /// Counted, as `rc` may have drifted in the hands of the original.
    fn children(&self, id: &StepId) -> rusqlite::Result<i64> {
        let select = "SELECT count(*) FROM builds WHERE parent = ?1";
        self.0.query_row(select, [id.as_str()], |row| row.get(0))
    }

    fn count(&self, id: &str, by: i64) -> rusqlite::Result<()> {
        self.0.execute("UPDATE builds SET rc = max(rc + ?2, 0) WHERE id = ?1", (id, by)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_another_keeps_locked_is_named_and_what_is_only_read_is_still_found() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("db.sqlite");
        let database = Database::open_patiently(&path, Duration::from_millis(50)).unwrap();
        let (known, new) = (StepId::of(b"known"), StepId::of(b"new"));
        database.add(&known, None, || Ok(())).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let told = |error: StoreError| error.to_string();
        let why = "another process has kept it locked for a minute";
        let refusal = format!("cannot use the database {}: {why}", path.display());
        let mut placed = false;
        let added = database.add(&new, None, || {
            placed = true;
            Ok(())
        });
        assert_eq!(told(added.unwrap_err()), refusal);
        assert!(!placed, "nothing is put in place that is not registered");
        database.touch(&known);
        assert_eq!(told(database.mark_used(|_| true).unwrap_err()), refusal);
        assert!(database.knows(&known).unwrap() && !database.knows(&new).unwrap());
        other.execute_batch("ROLLBACK").unwrap();
        database.add(&new, Some(&known), || Ok(())).unwrap();
    }
}
