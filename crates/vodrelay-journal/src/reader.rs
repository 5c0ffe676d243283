//! Looking into a journal, running or not, without its lock: totals, backlogs, pages of events, one event whole.

mod history;
mod letters;
mod records;
mod refusals;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::time::Instant;
use vod_event::EventId;
use vodrelay_core::{JournalError, Pause, SinkBacklog, SinkName, Totals};

use crate::error::{Fault, OpenError};
use crate::key::{Key, moment};
use crate::open::{FILE, connect_to_read};
use crate::schema::{self, Found};
use crate::storage::Storage;

pub use records::{
    AttemptRecord, DeliveryRecord, DeliveryState, EventDetail, EventFilter, EventRecord, EventState,
};

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
    /// Tells the stopwatch that another statement begins.
    begins: Arc<AtomicBool>,
}

const EVENT_COLUMNS: &str = "e.seq, e.id, e.received_at, e.state,
    (SELECT text FROM words WHERE id = e.source), (SELECT text FROM words WHERE id = e.event_type),
    (SELECT text FROM words WHERE id = e.status), e.event_time, e.video_id, e.media_id, e.job_id, e.unreadable";

/// The event with the id that is the first parameter. Those that are not in the table yet are few thousand, and the
/// newest.
const SEQ_OF_ID: &str = "(SELECT seq FROM event_ids WHERE id = ?1 UNION ALL
    SELECT seq FROM events WHERE id = ?1
    AND seq > COALESCE((SELECT value FROM meta WHERE key = 'ids_folded_to'), 0) LIMIT 1)";

impl Reader {
    /// Opens the journal in that folder for reading; it must be there.
    ///
    /// # Errors
    /// If there is none, or it cannot be read, or only a later version can.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_on(folder, &Storage::default())
    }

    pub(crate) fn open_on(folder: &Path, storage: &Storage) -> Result<Self, OpenError> {
        let sqlite = |error: rusqlite::Error| OpenError::from_sqlite(&folder.join(FILE), &error);
        let mut conn = connect(folder, storage)?;
        let knows_purged = schema::version(&conn).map_err(sqlite)? >= 2;
        let begins = Arc::<AtomicBool>::default();
        limit_time(&mut conn, Arc::clone(&begins)).map_err(sqlite)?;
        Ok(Self { conn, knows_purged, begins })
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
                 {paused} FROM sinks ORDER BY name"
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
                    paused: since.map(|since| Pause { since, reason }),
                })
            },
        )
    }

    /// A page of events, the newest first; `before` is the `seq` of the last one of the page before.
    ///
    /// # Errors
    /// If it cannot be read, or takes too long.
    pub fn events(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, JournalError> {
        let before = before.and_then(|seq| i64::try_from(seq).ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.min(LARGEST_PAGE)).unwrap_or(i64::MAX);
        self.all(
            &format!(
                "SELECT {EVENT_COLUMNS} FROM events AS e WHERE e.seq < ?1
                 AND (?2 IS NULL OR e.video_id = ?2) AND (?3 IS NULL OR e.job_id = ?3)
                 AND (?4 IS NULL OR e.state = ?4)
                 AND (?5 IS NULL OR e.event_type = (SELECT id FROM words WHERE text = ?5))
                 ORDER BY e.seq DESC LIMIT ?6"
            ),
            params![
                before,
                filter.video_id,
                filter.job_id,
                filter.state.map(records::number_of),
                filter.event_type,
                limit
            ],
            EventRecord::from_row,
        )
    }

    /// One event with its deliveries and what is remembered of their attempts.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn event(&self, id: EventId) -> Result<Option<EventDetail>, JournalError> {
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events AS e WHERE e.seq = {SEQ_OF_ID}");
        let event =
            self.conn().query_row(&sql, [id.as_bytes()], EventRecord::from_row).optional().map_err(failed)?;
        let Some(event) = event else { return Ok(None) };
        let seq = i64::try_from(event.seq).unwrap_or(i64::MAX);
        let sources = self.all(
            "SELECT text, repeats FROM event_sources JOIN words ON words.id = event_sources.source
             WHERE event = ?1 ORDER BY first_at",
            [seq],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let mut deliveries = self.deliveries_of(seq)?;
        for delivery in &mut deliveries {
            let key = Key::from_token(delivery.id);
            delivery.failed_attempts = key.map_or_else(|| Ok(Vec::new()), |key| self.failed_attempts(key))?;
        }
        Ok(Some(EventDetail { event, sources, deliveries }))
    }

    /// The bytes of an event as the provider made them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn body(&self, id: EventId) -> Result<Option<Bytes>, JournalError> {
        let sql = format!("SELECT body FROM events WHERE seq = {SEQ_OF_ID}");
        let body = self.conn().query_row(&sql, [id.as_bytes()], |row| row.get::<_, Vec<u8>>(0));
        Ok(body.optional().map_err(failed)?.map(Bytes::from))
    }

    /// The deliveries of an event as they stand, without their attempts.
    fn deliveries_of(&self, seq: i64) -> Result<Vec<DeliveryRecord>, JournalError> {
        let (first, last) = Key::range_of(seq);
        let mut deliveries = self.all(
            "SELECT deliveries.id, sinks.name, state, attempts, replays, due_at, first_attempt_at, last_attempt_at,
             settled_at, status, took_ms, reason FROM deliveries JOIN sinks ON sinks.id = deliveries.sink
             WHERE deliveries.id BETWEEN ?1 AND ?2",
            [first, last],
            DeliveryRecord::from_row,
        )?;
        if self.knows_purged {
            deliveries.extend(self.all(
                "SELECT delivery, sinks.name, 4, attempts, replays, NULL, NULL, NULL, settled_at, status, NULL, reason
                 FROM purged JOIN sinks ON sinks.id = delivery & 4095 WHERE delivery BETWEEN ?1 AND ?2",
                [first, last],
                DeliveryRecord::from_row,
            )?);
        }
        deliveries.sort_by(|one, other| one.sink.cmp(&other.sink));
        Ok(deliveries)
    }

    fn failed_attempts(&self, key: Key) -> Result<Vec<AttemptRecord>, JournalError> {
        self.all(
            "SELECT number, started_at, took_ms, status, note FROM attempts WHERE delivery = ?1 ORDER BY number",
            [key.0],
            AttemptRecord::from_row,
        )
    }

    /// The connection, for one statement, whose time begins now.
    fn conn(&self) -> &Connection {
        self.begins.store(true, Ordering::Relaxed);
        &self.conn
    }

    fn all<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        let mut statement = self.conn().prepare_cached(sql).map_err(failed)?;
        statement.query_map(parameters, read).and_then(Iterator::collect).map_err(failed)
    }
}

/// A connection that reads a journal which is there, and which this version knows.
pub(crate) fn connect(folder: &Path, storage: &Storage) -> Result<Connection, OpenError> {
    let file = folder.join(FILE);
    let sqlite = |error: rusqlite::Error| OpenError::from_sqlite(&file, &error);
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
fn failed(error: rusqlite::Error) -> JournalError {
    match Fault::from(error).to_error() {
        JournalError::Poisoned(cause) | JournalError::Full(cause) => JournalError::Failed(cause),
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
        let reader = Reader { conn, knows_purged: true, begins };
        let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT COUNT(*) FROM n";
        for _ in 0..50 {
            assert_eq!(reader.all(count, [], |row| row.get(0)), Ok(vec![5_000_u64]));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
}
