//! Removing events for good, on somebody's word. The ids stay.

use rusqlite::{Connection, params};
use vod_event::EventId;
use vodrelay_core::ledger::Erased;

use crate::ids::Ids;
use crate::key::Key;
use crate::lease::Leases;
use crate::retention;
use crate::settle;
use crate::writer::Batch;

/// Ends what waits of these events and is in nobody's hand.
pub(crate) fn give_up(
    conn: &Connection,
    ids: &Ids,
    leases: &Leases,
    batch: &mut Batch,
    events: &[EventId],
) -> rusqlite::Result<()> {
    for event in events {
        let Some(seq) = ids.find(conn, batch, event)? else { continue };
        for (key, is_pending) in deliveries(conn, seq)? {
            if is_pending && !leases.holds(key, batch.steady) {
                settle::bury(conn, batch, key, "forgotten")?;
            }
        }
    }
    Ok(())
}

/// Removes those of these events of which nothing is pending or in hand.
pub(crate) fn erase(
    conn: &Connection,
    ids: &Ids,
    leases: &Leases,
    batch: &mut Batch,
    events: &[EventId],
) -> rusqlite::Result<Erased> {
    let mut erased = Erased::default();
    for event in events {
        let Some(seq) = ids.find(conn, batch, event)? else { continue };
        let is_in_hand = |(key, is_pending): &(Key, bool)| *is_pending || leases.holds(*key, batch.steady);
        if deliveries(conn, seq)?.iter().any(is_in_hand) {
            erased.in_hand += 1;
            continue;
        }
        retention::remove(conn, batch, seq)?;
        // An earlier version, or a backup that was being made, may have had the event and the row.
        conn.prepare_cached("INSERT OR REPLACE INTO forgotten (seq, id, at) VALUES (?1, ?2, ?3)")?
            .execute(params![seq, event.as_bytes(), batch.now])?;
        retention::note_last_seq(conn, seq)?;
        erased.erased += 1;
    }
    Ok(erased)
}

/// Whether the event was erased: a repeat of it is no new one.
pub(crate) fn is_erased(conn: &Connection, event: &EventId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM forgotten WHERE id = ?1")?.exists([event.as_bytes()])
}

/// Those of an event, and whether each is pending.
fn deliveries(conn: &Connection, seq: i64) -> rusqlite::Result<Vec<(Key, bool)>> {
    let (first, last) = Key::range_of(seq);
    let mut statement =
        conn.prepare_cached("SELECT id, state < 2 FROM deliveries WHERE id BETWEEN ?1 AND ?2")?;
    statement.query_map([first, last], |row| Ok((Key(row.get(0)?), row.get(1)?)))?.collect()
}

/// Has what is removed meanwhile overwritten in each page of the file.
pub(crate) fn thoroughly<T>(
    conn: &Connection,
    remove: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    set_secure_delete(conn, "ON")?;
    let removed = remove();
    as_usual(conn)?;
    removed
}

/// Has what is removed overwritten in those pages that are written anyway.
pub(crate) fn as_usual(conn: &Connection) -> rusqlite::Result<()> {
    set_secure_delete(conn, "FAST")
}

fn set_secure_delete(conn: &Connection, how: &str) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "secure_delete", how, |_| Ok(()))
}

/// Whether the log of an earlier life may have what was erased: it is emptied then, however that life ended.
pub(crate) fn has_erased(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM forgotten)", [], |row| row.get(0))
}
