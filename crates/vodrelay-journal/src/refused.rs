//! Keeping refused requests, within bounds of room and age, and with a fair share for each cause and address.

use rusqlite::{Connection, OptionalExtension, params};
use vodrelay_core::Refusal;

use crate::config::RefusedBounds;
use crate::key::{excerpt, nanos, nanos_of};
use crate::writer::Batch;

/// What a row takes beside its texts and its body.
const ROW_BYTES: usize = 100;
const LONGEST_TEXT: usize = 1_024;

/// The bounds, and how much is kept.
#[derive(Debug)]
pub(crate) struct Refusals {
    bounds: RefusedBounds,
}

impl Refusals {
    pub(crate) fn new(bounds: RefusedBounds) -> Self {
        Self { bounds }
    }

    /// Writes them, then removes what is too much.
    pub(crate) fn keep(
        &self,
        conn: &Connection,
        batch: &mut Batch,
        refusals: &[Refusal],
    ) -> rusqlite::Result<()> {
        for refusal in refusals {
            insert(conn, batch, refusal)?;
        }
        let before: i64 = conn.query_row("SELECT refusal_bytes FROM totals", [], |row| row.get(0))?;
        let bound = i64::try_from(self.bounds.keep.0).unwrap_or(i64::MAX);
        while before + batch.counters.refusal_bytes > bound {
            if !remove_from_largest_share(conn, batch)? {
                break;
            }
        }
        Ok(())
    }

    /// Removes up to so many that are too old; returns how many there were.
    pub(crate) fn remove_old(
        &self,
        conn: &Connection,
        batch: &mut Batch,
        most: usize,
    ) -> rusqlite::Result<usize> {
        let cutoff = batch.now.saturating_sub(nanos_of(self.bounds.max_age.0));
        self.remove_first(conn, batch, most, cutoff)
    }

    /// Removes the first of those received before that moment.
    pub(crate) fn remove_first(
        &self,
        conn: &Connection,
        batch: &mut Batch,
        most: usize,
        received_before: i64,
    ) -> rusqlite::Result<usize> {
        for removed in 0..most {
            let first = conn
                .prepare_cached("SELECT id, received_at FROM refusals ORDER BY id LIMIT 1")?
                .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                .optional()?;
            match first {
                Some((id, received_at)) if received_at < received_before => remove(conn, batch, id)?,
                _ => return Ok(removed),
            }
        }
        Ok(most)
    }
}

fn insert(conn: &Connection, batch: &mut Batch, refusal: &Refusal) -> rusqlite::Result<()> {
    let text = |text: &str| excerpt(text, LONGEST_TEXT).to_owned();
    let (detail, address) = (text(&refusal.detail), text(&refusal.address));
    let (timestamp, signature) =
        (refusal.timestamp.as_deref().map(text), refusal.signature.as_deref().map(text));
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let bytes = ROW_BYTES
        + detail.len()
        + address.len()
        + length(&timestamp)
        + length(&signature)
        + refusal.body.len();
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    conn.prepare_cached(
        "INSERT INTO refusals (source, cause, detail, received_at, address, timestamp, signature, cut_short, bytes, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        refusal.source.as_str(),
        refusal.cause.as_str(),
        detail,
        nanos(refusal.received_at),
        address,
        timestamp,
        signature,
        refusal.cut_short,
        bytes,
        &refusal.body[..],
    ])?;
    conn.prepare_cached(
        "INSERT INTO refusal_shares (cause, address, bytes) VALUES (?1, ?2, ?3)
         ON CONFLICT (cause, address) DO UPDATE SET bytes = bytes + excluded.bytes",
    )?
    .execute(params![refusal.cause.as_str(), address, bytes])?;
    batch.counters.refusals += 1;
    batch.counters.refusal_bytes += bytes;
    Ok(())
}

/// Removes the oldest of the cause and address that hold most; returns whether there was one.
fn remove_from_largest_share(conn: &Connection, batch: &mut Batch) -> rusqlite::Result<bool> {
    let oldest: Option<i64> = conn
        .prepare_cached(
            "SELECT refusals.id FROM refusals
             JOIN (SELECT cause, address FROM refusal_shares ORDER BY bytes DESC LIMIT 1) AS largest
             ON refusals.cause = largest.cause AND refusals.address = largest.address
             ORDER BY refusals.id LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    match oldest {
        Some(id) => remove(conn, batch, id).map(|()| true),
        None => Ok(false),
    }
}

fn remove(conn: &Connection, batch: &mut Batch, id: i64) -> rusqlite::Result<()> {
    let (cause, address, bytes): (String, String, i64) = conn
        .prepare_cached("DELETE FROM refusals WHERE id = ?1 RETURNING cause, address, bytes")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let left: i64 = conn
        .prepare_cached(
            "UPDATE refusal_shares SET bytes = bytes - ?3 WHERE cause = ?1 AND address = ?2 RETURNING bytes",
        )?
        .query_row(params![cause, address, bytes], |row| row.get(0))?;
    if left <= 0 {
        conn.prepare_cached("DELETE FROM refusal_shares WHERE cause = ?1 AND address = ?2")?
            .execute([cause, address])?;
    }
    batch.counters.refusals -= 1;
    batch.counters.refusal_bytes -= bytes;
    Ok(())
}
