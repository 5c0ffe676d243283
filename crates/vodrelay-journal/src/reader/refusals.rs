//! Looking at kept refusals.

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};
use vod_event::EventId;
use vodrelay_core::{JournalError, Refusal, RefusalFilter, RefusalRecord, SourceName};

use super::{LARGEST_PAGE, Reader, SEQ_OF_ID, failed};
use crate::key::{moment, nanos};

/// Bodies that are handed out at once, in bytes; one that is larger comes alone.
const PAGE_BYTES: usize = 4 << 20;

impl Reader {
    /// A page of kept refusals, the newest first; `before` is the id of the last one of the page before.
    ///
    /// # Errors
    /// If it cannot be read, or takes too long.
    pub fn list_refusals(
        &self,
        filter: &RefusalFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RefusalRecord>, JournalError> {
        let before = before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.min(LARGEST_PAGE)).unwrap_or(i64::MAX);
        self.all(
            "SELECT id, received_at, source, cause, address, length(body), cut_short FROM refusals WHERE id < ?1
             AND (?2 IS NULL OR source = ?2) AND (?3 IS NULL OR cause = ?3) AND (?4 IS NULL OR address = ?4)
             AND (?5 IS NULL OR received_at >= ?5) AND (?6 IS NULL OR received_at < ?6)
             ORDER BY id DESC LIMIT ?7",
            params![
                before,
                filter.source.as_ref().map(SourceName::as_str),
                filter.cause.map(|cause| cause.as_str()),
                filter.address,
                filter.since.map(nanos),
                filter.until.map(nanos),
                limit
            ],
            record,
        )
    }

    /// One kept refusal, whole.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn refusal(&self, id: u64) -> Result<Option<Refusal>, JournalError> {
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} FROM refusals WHERE id = ?1");
        let found = self.conn().query_row(&sql, [id], whole).optional().map_err(failed)?;
        Ok(found.map(|(_, refusal)| refusal))
    }

    /// The next kept refusals of a source, whole, in the order in which they were kept.
    ///
    /// # Errors
    /// If it cannot be read, or takes too long.
    pub fn next_refusals(
        &self,
        source: &SourceName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Refusal)>, JournalError> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let limit = limit.min(LARGEST_PAGE);
        let sql = format!("SELECT {COLUMNS} FROM refusals WHERE id > ?1 AND source = ?2 ORDER BY id");
        let mut statement = self.conn().prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query_map(params![after, source.as_str()], whole).map_err(failed)?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < limit
            && bytes < PAGE_BYTES
            && let Some(found) = rows.next()
        {
            let found = found.map_err(failed)?;
            bytes += found.1.body.len();
            page.push(found);
        }
        Ok(page)
    }

    /// Which of the events are there, or were erased.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn has_events(&self, ids: &[EventId]) -> Result<Vec<bool>, JournalError> {
        let or_erased =
            if self.knows_forgotten { "OR EXISTS (SELECT 1 FROM forgotten WHERE id = ?1)" } else { "" };
        let sql = format!("SELECT {SEQ_OF_ID} IS NOT NULL {or_erased}");
        let mut statement = self.conn().prepare_cached(&sql).map_err(failed)?;
        ids.iter().map(|id| statement.query_row([id.as_bytes()], |row| row.get(0)).map_err(failed)).collect()
    }
}

const COLUMNS: &str =
    "id, received_at, source, cause, address, detail, timestamp, signature, cut_short, body";

fn record(row: &Row<'_>) -> rusqlite::Result<RefusalRecord> {
    Ok(RefusalRecord {
        id: row.get(0)?,
        received_at: moment(row.get(1)?),
        source: parsed(row, 2)?,
        cause: parsed(row, 3)?,
        address: row.get(4)?,
        bytes: row.get(5)?,
        cut_short: row.get(6)?,
    })
}

fn whole(row: &Row<'_>) -> rusqlite::Result<(u64, Refusal)> {
    let refusal = Refusal {
        received_at: moment(row.get(1)?),
        source: parsed(row, 2)?,
        cause: parsed(row, 3)?,
        address: row.get(4)?,
        detail: row.get(5)?,
        timestamp: row.get(6)?,
        signature: row.get(7)?,
        cut_short: row.get(8)?,
        body: Bytes::from(row.get::<_, Vec<u8>>(9)?),
    };
    Ok((row.get(0)?, refusal))
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
