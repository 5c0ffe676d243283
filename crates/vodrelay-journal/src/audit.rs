//! Noting who had the relay change something, and reading it back.

use rusqlite::{Connection, Row, params};
use serde_json::value::RawValue;
use vodrelay_core::JournalError;
use vodrelay_core::ledger::{Deed, DeedRecord};

use crate::key::{excerpt, moment, nanos};
use crate::reader::Reader;

/// So many are kept, the newest ones: some ten megabytes where each is usual.
const MOST: i64 = 20_000;
const LONGEST_TEXT: usize = 256;
/// Longer JSON is not kept: a part of it would be none.
const LONGEST_JSON: usize = 4 << 10;

/// Writes it down, and drops what is beyond the bound.
pub(crate) fn note(conn: &Connection, deed: &Deed) -> rusqlite::Result<()> {
    let text = |text: &Option<String>| text.as_deref().map(|text| excerpt(text, LONGEST_TEXT).to_owned());
    let json = |json: &Option<Box<RawValue>>| {
        json.as_deref().map(RawValue::get).filter(|json| json.len() <= LONGEST_JSON).map(str::to_owned)
    };
    conn.prepare_cached(
        "INSERT INTO audit (at, token, address, action, request, status, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        nanos(deed.at),
        text(&deed.token),
        text(&deed.address),
        excerpt(&deed.action, LONGEST_TEXT),
        json(&deed.request),
        deed.status,
        json(&deed.result),
    ])?;
    let newest = conn.last_insert_rowid();
    conn.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([newest - MOST])?;
    Ok(())
}

impl Reader {
    /// A page of deeds, as [`vodrelay_core::Ledger::deeds`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn deeds(&self, before: Option<u64>, limit: usize) -> Result<Vec<DeedRecord>, JournalError> {
        if !self.knows_audit {
            return Ok(Vec::new());
        }
        let before = before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(
            "SELECT id, at, token, address, action, request, status, result FROM audit WHERE id < ?1
             ORDER BY id DESC LIMIT ?2",
            [before, limit],
            record,
        )
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<DeedRecord> {
    // What is no JSON any more has rotted, and the rest of the row is still worth telling.
    let json = |column| {
        let text: Option<String> = row.get(column)?;
        Ok::<_, rusqlite::Error>(text.and_then(|text| RawValue::from_string(text).ok()))
    };
    let deed = Deed {
        at: moment(row.get(1)?),
        token: row.get(2)?,
        address: row.get(3)?,
        action: row.get(4)?,
        request: json(5)?,
        status: row.get(6)?,
        result: json(7)?,
    };
    Ok(DeedRecord { id: row.get(0)?, deed })
}
