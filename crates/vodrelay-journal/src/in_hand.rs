//! Remembering over a crash what was in hand, so that a delivery that brings the process down is found out.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use crate::heart::Heart;
use crate::key::{self, Key};
use crate::settle;
use crate::shared::Shared;
use crate::writer::Batch;

/// A delivery that was in hand at so many crashes in a row is not tried again by itself.
const MOST_CRASHES: i64 = 5;

/// Writes the sets that changed into the running transaction.
pub(crate) fn write_changed(
    conn: &Connection,
    shared: &Shared,
    settling: &HashSet<Key>,
) -> rusqlite::Result<()> {
    let changed = shared.leases().take_changed(settling);
    for (sink, keys) in changed {
        let blob: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        conn.prepare_cached("UPDATE sinks SET in_hand = ?2 WHERE id = ?1")?.execute(params![sink, blob])?;
    }
    Ok(())
}

/// Notes that the journal is in use, counts a crash for what was in hand if it was not stopped cleanly, and returns
/// whether it was not. Runs in the transaction of the opening.
pub(crate) fn take_over(conn: &Connection, batch: &mut Batch) -> rusqlite::Result<bool> {
    let clean: Option<i64> =
        conn.query_row("SELECT value FROM meta WHERE key = 'clean'", [], |row| row.get(0)).optional()?;
    let unclean = clean == Some(0);
    if unclean {
        for key in left_in_hand(conn)? {
            count_crash(conn, batch, key)?;
        }
    }
    conn.execute("UPDATE sinks SET in_hand = NULL", [])?;
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('clean', 0)", [])?;
    Ok(unclean)
}

/// Notes that nothing is in hand and all is well, in the running transaction.
pub(crate) fn mark_clean(conn: &Connection, heart: &Heart, now: i64, steady: i64) -> rusqlite::Result<()> {
    conn.execute_batch(
        "UPDATE sinks SET in_hand = NULL;
         UPDATE meta SET value = 1 WHERE key = 'clean';",
    )?;
    heart.stop(conn, now, steady)
}

fn left_in_hand(conn: &Connection) -> rusqlite::Result<Vec<Key>> {
    let mut statement = conn.prepare("SELECT in_hand FROM sinks WHERE in_hand IS NOT NULL")?;
    let blobs = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut keys = Vec::new();
    for blob in blobs {
        let blob = blob?;
        let (numbers, _) = blob.as_chunks::<8>();
        keys.extend(numbers.iter().map(|bytes| Key(i64::from_le_bytes(*bytes))));
    }
    Ok(keys)
}

fn count_crash(conn: &Connection, batch: &mut Batch, key: Key) -> rusqlite::Result<()> {
    let crashes: Option<i64> = conn
        .prepare_cached(
            "UPDATE deliveries SET crashes = crashes + 1 WHERE id = ?1 AND state < 2 RETURNING crashes",
        )?
        .query_row([key.0], |row| row.get(0))
        .optional()?;
    if crashes.is_some_and(|crashes| crashes >= MOST_CRASHES) {
        let id = key::event_id(conn, key);
        tracing::error!(
            event.id = id.map(tracing::field::display),
            delivery.id = key.0,
            delivery.crashes = crashes,
            "the relay went down {MOST_CRASHES} times in a row with this delivery in hand; it is a dead letter now"
        );
        settle::bury(conn, batch, key, "relay_crashed")?;
    }
    Ok(())
}
