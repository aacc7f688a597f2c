//! The database's side of it.
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::super::{StoreError, Time};
use super::finding::Finding;
use crate::step::StepId;

/// How long to wait for builds, each of which has the database for some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database, opened as it is.
pub(super) struct Rows {
    path: PathBuf,
    /// `None` if there is none yet.
    connection: Option<Connection>,
}

/// The database while nobody else can change it.
pub(super) struct Locked<'a> {
    path: &'a Path,
    transaction: Option<Transaction<'a>>,
}

/// A row of the table.
struct Row {
    id: String,
    rc: i64,
    parent: Option<String>,
}

/// What is wrong with the database file as a whole.
pub(super) fn damage(path: &Path) -> Result<Option<String>, StoreError> {
    let failed = |source| StoreError::Database { path: path.to_owned(), source };
    let Some(connection) = open(path).map_err(failed)? else { return Ok(None) };
    let checked = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match checked {
        Ok(word) if word == "ok" => Ok(None),
        Ok(what) => Ok(Some(what)),
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
            ) =>
        {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(failed(error)),
    }
}

fn open(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(Some(connection))
}

impl Rows {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection =
            open(path).map_err(|source| StoreError::Database { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), connection })
    }

    pub(super) fn lock(&mut self) -> Result<Locked<'_>, StoreError> {
        let failed = |source| StoreError::Database { path: self.path.clone(), source };
        let transaction = match &mut self.connection {
            Some(connection) => {
                Some(connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?)
            }
            None => None,
        };
        Ok(Locked { path: &self.path, transaction })
    }
}

impl Locked<'_> {
    /// Where the rows and the results that are `there` differ.
    pub(super) fn differences(&self, there: &HashMap<StepId, Time>) -> Result<Vec<Finding>, StoreError> {
        let rows = self.rows().map_err(|e| self.failed(e))?;
        let known: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut children: HashMap<&str, i64> = HashMap::new();
        for parent in rows.iter().filter_map(|row| row.parent.as_deref()) {
            *children.entry(parent).or_default() += 1;
        }
        let mut findings = Vec::new();
        for row in &rows {
            let id = row.id.clone();
            if StepId::parse(&id).is_none_or(|id| !there.contains_key(&id)) {
                findings.push(Finding::RowWithoutResult { id: id.clone() });
            }
            if let Some(parent) = row.parent.as_ref().filter(|parent| !known.contains(parent.as_str())) {
                findings.push(Finding::UnknownParent { id: id.clone(), parent: parent.clone() });
            }
            let counted = children.get(id.as_str()).copied().unwrap_or(0);
            if counted != row.rc {
                findings.push(Finding::WrongCount { id, written: row.rc, counted });
            }
        }
        let mut unknown: Vec<_> = there.keys().filter(|id| !known.contains(id.as_str())).collect();
        unknown.sort();
        findings.extend(unknown.into_iter().map(|id| Finding::ResultWithoutRow { id: id.clone() }));
        Ok(findings)
    }

    /// Makes the rows those of the results that are `there`.
    pub(super) fn mend(self, there: &HashMap<StepId, Time>) -> Result<(), StoreError> {
        let path = self.path;
        let failed = |source| StoreError::Database { path: path.to_owned(), source };
        let rows = self.rows().map_err(failed)?;
        let Some(transaction) = self.transaction else { return Ok(()) };
        register(&transaction, there).map_err(failed)?;
        let gone = rows.iter().map(|row| row.id.as_str());
        let gone = gone.filter(|id| StepId::parse(id).is_none_or(|id| !there.contains_key(&id)));
        remove(&transaction, gone).map_err(failed)?;
        let straighten = "
            UPDATE builds SET parent = NULL WHERE parent NOT IN (SELECT id FROM builds);
            UPDATE builds SET rc = 0;
            UPDATE builds SET rc = counted.n
                FROM (SELECT parent, count(*) AS n FROM builds GROUP BY parent) AS counted
                WHERE builds.id = counted.parent;";
        transaction.execute_batch(straighten).and_then(|()| transaction.commit()).map_err(failed)
    }

    fn rows(&self) -> rusqlite::Result<Vec<Row>> {
        let Some(transaction) = &self.transaction else { return Ok(Vec::new()) };
        if !transaction.table_exists(None, "builds")? {
            return Ok(Vec::new());
        }
        let mut select = transaction.prepare("SELECT id, rc, parent FROM builds ORDER BY id")?;
        let rows =
            select.query_map([], |row| Ok(Row { id: row.get(0)?, rc: row.get(1)?, parent: row.get(2)? }))?;
        rows.collect()
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.to_owned(), source }
    }
}

fn register(rows: &Connection, there: &HashMap<StepId, Time>) -> rusqlite::Result<()> {
    let mut register = rows.prepare("INSERT OR IGNORE INTO builds VALUES (?1, ?2, ?2, 0, NULL)")?;
    there.iter().try_for_each(|(id, made)| register.execute((id.as_str(), made.to_string())).map(drop))
}

fn remove<'a>(rows: &Connection, mut gone: impl Iterator<Item = &'a str>) -> rusqlite::Result<()> {
    let mut orphan = rows.prepare("UPDATE builds SET parent = NULL WHERE parent = ?1")?;
    let mut remove = rows.prepare("DELETE FROM builds WHERE id = ?1")?;
    gone.try_for_each(|id| {
        orphan.execute([id])?;
        remove.execute([id]).map(drop)
    })
}
