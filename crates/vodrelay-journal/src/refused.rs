//! Keeping refused requests, within bounds of room and age, and with a fair share for each cause and address.

use rusqlite::{Connection, OptionalExtension, params};
use vodrelay_core::Refusal;

use crate::age;
use crate::config::RefusedBounds;
use crate::key::{excerpt, nanos};
use crate::troubles;
use crate::writer::Batch;

/// What a row takes beside its texts and its body.
const ROW_BYTES: usize = 100;
const LONGEST_TEXT: usize = 1_024;

/// The bounds, and which id is given out next: no two refusals have the same, even where the newest is removed.
#[derive(Debug)]
pub(crate) struct Refusals {
    bounds: RefusedBounds,
    next_id: i64,
}

impl Refusals {
    /// Reads from the file which ids were given out.
    pub(crate) fn load(conn: &Connection, bounds: RefusedBounds) -> rusqlite::Result<Self> {
        let next_id = conn.query_row(
            "SELECT 1 + MAX(COALESCE((SELECT MAX(id) FROM refusals), 0),
                            COALESCE((SELECT value FROM meta WHERE key = 'last_refusal'), 0))",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { bounds, next_id })
    }

    /// Writes them, then removes what is too much.
    pub(crate) fn keep(
        &mut self,
        conn: &Connection,
        batch: &mut Batch,
        refusals: &[Refusal],
    ) -> rusqlite::Result<()> {
        for refusal in refusals {
            insert(conn, batch, self.next_id, refusal)?;
            self.next_id += 1;
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

    /// Removes those that are still there and tells how many they were.
    pub(crate) fn remove(&self, conn: &Connection, batch: &mut Batch, ids: &[u64]) -> rusqlite::Result<u64> {
        let mut removed = 0;
        for id in ids.iter().filter_map(|id| i64::try_from(*id).ok()) {
            removed += u64::from(remove(conn, batch, id, true)?);
        }
        self.note_last_id(conn)?;
        Ok(removed)
    }

    fn note_last_id(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('last_refusal', ?1)")?
            .execute([self.next_id - 1])?;
        Ok(())
    }

    /// Removes up to so many that are too old; returns how many there were.
    pub(crate) fn remove_old(
        &self,
        conn: &Connection,
        batch: &mut Batch,
        most: usize,
    ) -> rusqlite::Result<usize> {
        let cutoff = age::limit(conn, batch.now, self.bounds.max_age.0)?;
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
                Some((id, received_at)) if received_at < received_before => {
                    remove(conn, batch, id, false)?;
                }
                _ if removed == 0 => return Ok(0),
                _ => {
                    self.note_last_id(conn)?;
                    return Ok(removed);
                }
            }
        }
        self.note_last_id(conn)?;
        Ok(most)
    }
}

fn insert(conn: &Connection, batch: &mut Batch, id: i64, refusal: &Refusal) -> rusqlite::Result<()> {
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
        "INSERT INTO refusals
         (id, source, cause, detail, received_at, address, timestamp, signature, cut_short, bytes, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        id,
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
    troubles::keep(conn, refusal.cause, refusal.source.as_str(), nanos(refusal.received_at))?;
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
        Some(id) => remove(conn, batch, id, false),
        None => Ok(false),
    }
}

/// Returns whether it was there. It is settled where a person saw to it.
fn remove(conn: &Connection, batch: &mut Batch, id: i64, settled: bool) -> rusqlite::Result<bool> {
    let removed: Option<(String, String, i64, String, i64)> = conn
        .prepare_cached(
            "DELETE FROM refusals WHERE id = ?1 RETURNING cause, address, bytes, source, received_at",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((cause, address, bytes, source, received_at)) = removed else { return Ok(false) };
    troubles::remove(conn, &cause, &source, received_at, settled)?;
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
    Ok(true)
}
