//! Looking into a journal, running or not, without its lock: totals, backlogs, pages of events, one event whole.

mod erased;
mod events;
mod history;
mod letters;
mod records;
mod refusals;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, Row};
use tokio::time::Instant;
use vodrelay_core::ledger::FailedAttempt;
use vodrelay_core::{JournalError, Pause, SinkBacklog, SinkName, Totals};

use crate::error::{Fault, OpenError};
use crate::first_look;
use crate::key::{Key, moment};
use crate::lock;
use crate::open::{FILE, LOG, connect_to_read, look_at_log};
use crate::schema::{self, Found};
use crate::storage::Storage;

/// No query takes longer: a long one would keep the log from starting anew.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// So many steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 10_000;
const LARGEST_PAGE: usize = 1_000;

/// Reads a journal. Each call is one short transaction.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    /// A file that only an earlier version has opened lacks what the second schema adds.
    knows_purged: bool,
    /// … or the third.
    pub(crate) knows_audit: bool,
    /// Whether the file can have ids of events that were erased: one that is only read stays as it is.
    knows_forgotten: bool,
    /// Tells the stopwatch that another statement begins.
    begins: Arc<AtomicBool>,
}

/// The event with the id that is the first parameter. Those that are not in the table yet are few thousand, and the
/// newest.
const SEQ_OF_ID: &str = "(SELECT seq FROM event_ids WHERE id = ?1 UNION ALL
    SELECT seq FROM events WHERE id = ?1
    AND seq > COALESCE((SELECT value FROM meta WHERE key = 'ids_folded_to'), 0) LIMIT 1)";

impl Reader {
    /// Opens the journal in that folder for reading; it must be there. Where no relay runs, a process has one reader of
    /// it at a time: opening another one ends the locks that SQLite holds for the first.
    ///
    /// # Errors
    /// If there is none, or it cannot be read, or only a later version can.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_on(folder, &Storage::default())
    }

    pub(crate) fn open_on(folder: &Path, storage: &Storage) -> Result<Self, OpenError> {
        let sqlite = |error: rusqlite::Error| OpenError::from_sqlite(&folder.join(FILE), &error);
        let mut conn = connect_to_all(folder, storage)?;
        let version = schema::version(&conn).map_err(sqlite)?;
        let begins = Arc::<AtomicBool>::default();
        limit_time(&mut conn, Arc::clone(&begins)).map_err(sqlite)?;
        Ok(Self {
            conn,
            knows_purged: version >= 2,
            knows_audit: version >= 3,
            knows_forgotten: version >= 5,
            begins,
        })
    }

    /// What the journal holds.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn totals(&self) -> Result<Totals, JournalError> {
        let totals = self.conn().query_row(
            "SELECT events, duplicates, unrouted, unreadable, refusals FROM totals",
            [],
            |row| {
                Ok(Totals {
                    events: row.get(0)?,
                    duplicates: row.get(1)?,
                    unrouted: row.get(2)?,
                    unreadable: row.get(3)?,
                    refusals: row.get(4)?,
                })
            },
        );
        totals.map_err(failed)
    }

    /// How much waits for each sink that the journal knows.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn backlogs(&self) -> Result<Vec<SinkBacklog>, JournalError> {
        let paused = if self.knows_purged { "paused_at, pause_reason" } else { "NULL, NULL" };
        self.all(
            &format!(
                "SELECT name, pending, dead_letters, delivered,
                 (SELECT received_at FROM events WHERE seq = (SELECT MIN(first) >> 12 FROM (
                     SELECT MIN(id) AS first FROM deliveries WHERE sink = sinks.id AND state = 0
                     UNION ALL SELECT MIN(id) FROM deliveries WHERE sink = sinks.id AND state = 1))),
                 {paused}, (SELECT MIN(due_at) FROM deliveries WHERE sink = sinks.id AND state = 1)
                 FROM sinks ORDER BY name"
            ),
            [],
            |row| {
                let reason = row.get(6)?;
                let since = row.get::<_, Option<i64>>(5)?.map(moment);
                Ok(SinkBacklog {
                    sink: sink_name(row, 0)?,
                    pending: row.get(1)?,
                    dead_letters: row.get(2)?,
                    delivered: row.get(3)?,
                    oldest_pending_at: row.get::<_, Option<i64>>(4)?.map(moment),
                    retry_due_at: row.get::<_, Option<i64>>(7)?.map(moment),
                    paused: since.map(|since| Pause { since, reason }),
                })
            },
        )
    }

    fn failed_attempts(&self, key: Key) -> Result<Vec<FailedAttempt>, JournalError> {
        self.all(
            "SELECT number, started_at, took_ms, status, note FROM attempts WHERE delivery = ?1 ORDER BY number",
            [key.0],
            records::failed_attempt,
        )
    }

    /// The connection, for one statement, whose time begins now.
    pub(crate) fn conn(&self) -> &Connection {
        self.begins.store(true, Ordering::Relaxed);
        &self.conn
    }

    pub(crate) fn all<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        let mut statement = self.conn().prepare_cached(sql).map_err(failed)?;
        statement.query_map(parameters, read).and_then(Iterator::collect).map_err(failed)
    }
}

/// A connection that reads a journal, where no relay runs only if its log is whole: SQLite would read up to the damage,
/// and no further.
pub(crate) fn connect_to_all(folder: &Path, storage: &Storage) -> Result<Connection, OpenError> {
    // A relay that has it open, perhaps since just now, has looked at it, and is writing to it.
    if !lock::is_open(folder)
        && let Err(error) = look_at_log(&folder.join(LOG))
        && !lock::is_open(folder)
    {
        return Err(error);
    }
    connect(folder, storage)
}

/// A connection that reads a journal which is there, and which this version knows.
pub(crate) fn connect(folder: &Path, storage: &Storage) -> Result<Connection, OpenError> {
    let file = folder.join(FILE);
    let sqlite = |error: rusqlite::Error| OpenError::from_sqlite(&file, &error);
    first_look::refuse_lone_log(folder)?;
    std::fs::metadata(&file).map_err(|error| OpenError::from_io(&file, &error))?;
    let conn = connect_to_read(&file, storage).map_err(sqlite)?;
    match schema::look(&conn).map_err(sqlite)? {
        Found::Journal => Ok(conn),
        Found::Newer { found, written_by } => {
            let (path, known) = (folder.to_owned(), schema::VERSION);
            Err(OpenError::NewerSchema { path, found, known, written_by })
        }
        Found::Empty | Found::Foreign => {
            let cause = "it has none of a journal's tables".to_owned();
            Err(OpenError::NotAJournal { path: file, cause })
        }
    }
}

/// Reading for people fails for itself: whether the journal is poisoned is for the threads to say that serve events.
pub(crate) fn failed(error: rusqlite::Error) -> JournalError {
    match Fault::from(error).to_error() {
        JournalError::Poisoned(cause) => {
            tracing::error!(
                journal.error = %cause,
                "the journal does not read everywhere; see what does not with `vodrelay journal verify`, and look at the disk"
            );
            JournalError::Failed(cause)
        }
        JournalError::Full(cause) => JournalError::Failed(cause),
        error => error,
    }
}

fn sink_name(row: &Row<'_>, column: usize) -> rusqlite::Result<SinkName> {
    let text: String = row.get(column)?;
    SinkName::new(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Interrupts statements that run for too long.
fn limit_time(conn: &mut Connection, begins: Arc<AtomicBool>) -> rusqlite::Result<()> {
    let mut stopwatch = Stopwatch { begins, begun: None };
    conn.progress_handler(STEPS, Some(move || stopwatch.is_over(Instant::now())))
}

/// The time of the statement that runs. SQLite looks at it now and then, and does not say when a statement begins.
struct Stopwatch {
    /// Set before each statement.
    begins: Arc<AtomicBool>,
    begun: Option<Instant>,
}

impl Stopwatch {
    fn is_over(&mut self, now: Instant) -> bool {
        if self.begins.swap(false, Ordering::Relaxed) {
            self.begun = None;
        }
        now.duration_since(*self.begun.get_or_insert(now)) > TIME_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_each_statement_begins_anew() {
        let begins = Arc::new(AtomicBool::new(true));
        let mut stopwatch = Stopwatch { begins: Arc::clone(&begins), begun: None };
        let start = Instant::now();
        let mut check = |millis, over| {
            assert_eq!(stopwatch.is_over(start + Duration::from_millis(millis)), over, "{millis} ms");
        };
        check(0, false);
        check(1_900, false);
        check(2_100, true);
        begins.store(true, Ordering::Relaxed);
        check(2_200, false);
        check(4_100, false);
        check(4_300, true);
    }

    #[tokio::test(start_paused = true)]
    async fn many_short_statements_are_none_that_takes_long() {
        let begins = Arc::<AtomicBool>::default();
        let mut conn = Connection::open_in_memory().unwrap();
        limit_time(&mut conn, Arc::clone(&begins)).unwrap();
        let reader = Reader { conn, knows_purged: true, knows_audit: true, knows_forgotten: true, begins };
        let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT COUNT(*) FROM n";
        for _ in 0..50 {
            assert_eq!(reader.all(count, [], |row| row.get(0)), Ok(vec![5_000_u64]));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
}
