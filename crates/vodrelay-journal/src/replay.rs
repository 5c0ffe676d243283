//! Deliveries that begin anew, and dead letters that are purged, in the running transaction.

use rusqlite::{Connection, OptionalExtension, params};
use vod_event::Event;
use vodrelay_core::ledger::{DeliveryState, Redelivery, ReplayOrder, Replayed};

use crate::append::{ROUTED, UNREADABLE, UNROUTED, count_state, is_purged, words_of};
use crate::ids::Ids;
use crate::key::{Key, nanos};
use crate::writer::{Batch, Names};

/// Carries out the orders whose deliveries still stand as they say. What begins anew is a retry that is due now: so it
/// takes turns with what is fresh.
pub(crate) fn replay(
    conn: &Connection,
    names: &mut Names,
    ids: &Ids,
    batch: &mut Batch,
    orders: &[ReplayOrder],
) -> rusqlite::Result<Replayed> {
    let mut replayed = Replayed::default();
    for order in orders {
        let Some(seq) = ids.find(conn, batch, &order.event)? else { continue };
        if let Some(event) = &order.reading {
            replayed.read += u64::from(read_again(conn, names, batch, seq, event)?);
        }
        for Redelivery { sink, from } in &order.deliveries {
            let key = Key::new(seq, names.sink(conn, sink)?);
            match from {
                None => replayed.added += u64::from(add(conn, batch, key)?),
                Some(state) => replayed.again += u64::from(begin_anew(conn, batch, key, *state)?),
            }
        }
    }
    batch.work |= replayed.again + replayed.added > 0;
    Ok(replayed)
}

/// Writes down what the body says, if it could not be read before.
fn read_again(
    conn: &Connection,
    names: &mut Names,
    batch: &mut Batch,
    seq: i64,
    event: &Event,
) -> rusqlite::Result<bool> {
    let (event_type, status) = words_of(conn, names, Some(event))?;
    let read = conn
        .prepare_cached(
            "UPDATE events SET state = ?2, event_type = ?3, event_time = ?4, status = ?5, video_id = ?6,
             media_id = ?7, job_id = ?8, unreadable = NULL WHERE seq = ?1 AND state = ?9",
        )?
        .execute(params![
            seq,
            UNROUTED,
            event_type,
            event.event_time.map(|time| nanos(time.0)),
            status,
            event.video_id,
            event.media_id,
            event.job_id,
            UNREADABLE,
        ])?;
    if read == 1 {
        count_state(batch, UNREADABLE, -1);
        count_state(batch, UNROUTED, 1);
        conn.prepare_cached("DELETE FROM purged WHERE delivery = ?1")?.execute([Key::new(seq, 0).0])?;
    }
    Ok(read == 1)
}

/// A delivery that was never there.
fn add(conn: &Connection, batch: &mut Batch, key: Key) -> rusqlite::Result<bool> {
    if is_purged(conn, key)? {
        return Ok(false);
    }
    let added = conn
        .prepare_cached(
            "INSERT INTO deliveries (id, sink, state, due_at) VALUES (?1, ?2, 1, ?3) ON CONFLICT (id) DO NOTHING",
        )?
        .execute([key.0, key.sink(), batch.now])?;
    if added == 1 {
        batch.counters.sink(key.sink()).pending += 1;
        note_routed(conn, batch, key.seq())?;
    }
    Ok(added == 1)
}

fn note_routed(conn: &Connection, batch: &mut Batch, seq: i64) -> rusqlite::Result<()> {
    let state: i64 =
        conn.prepare_cached("SELECT state FROM events WHERE seq = ?1")?.query_row([seq], |row| row.get(0))?;
    if state != ROUTED {
        conn.prepare_cached("UPDATE events SET state = ?2 WHERE seq = ?1")?.execute([seq, ROUTED])?;
        count_state(batch, state, -1);
    }
    Ok(())
}

fn begin_anew(conn: &Connection, batch: &mut Batch, key: Key, from: DeliveryState) -> rusqlite::Result<bool> {
    let number = match from {
        DeliveryState::Delivered => 2,
        DeliveryState::DeadLetter => 3,
        DeliveryState::Purged => return begin_purged_anew(conn, batch, key),
        _ => return Ok(false),
    };
    let begun = conn
        .prepare_cached(
            "UPDATE deliveries SET state = 1, due_at = ?2, replays = replays + 1, tries = 0, crashes = 0, age_ms = 0,
             first_attempt_at = NULL, last_attempt_at = NULL, settled_at = NULL, reason = NULL
             WHERE id = ?1 AND state = ?3",
        )?
        .execute([key.0, batch.now, number])?;
    if begun == 1 {
        let counters = batch.counters.sink(key.sink());
        counters.pending += 1;
        *(if number == 2 { &mut counters.delivered } else { &mut counters.dead_letters }) -= 1;
    }
    Ok(begun == 1)
}

fn begin_purged_anew(conn: &Connection, batch: &mut Batch, key: Key) -> rusqlite::Result<bool> {
    let begun = conn
        .prepare_cached(
            "INSERT INTO deliveries (id, sink, state, due_at, attempts, replays, status)
             SELECT delivery, ?2, 1, ?3, attempts, replays + 1, status FROM purged WHERE delivery = ?1
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute([key.0, key.sink(), batch.now])?;
    // What stands beside it, as in a backup that an earlier version made, is the delivery.
    conn.prepare_cached("DELETE FROM purged WHERE delivery = ?1")?.execute([key.0])?;
    if begun == 1 {
        batch.counters.sink(key.sink()).pending += 1;
    }
    Ok(begun == 1)
}

/// Takes these out of the dead letters; says how many still were.
pub(crate) fn purge(conn: &Connection, batch: &mut Batch, places: &[u64]) -> rusqlite::Result<u64> {
    let mut purged = 0;
    for key in places.iter().filter_map(|place| Key::from_token(*place)) {
        let is_purged = if key.sink() == 0 {
            purge_unreadable(conn, batch, key)?
        } else {
            purge_delivery(conn, batch, key)?
        };
        purged += u64::from(is_purged);
    }
    Ok(purged)
}

fn purge_delivery(conn: &Connection, batch: &mut Batch, key: Key) -> rusqlite::Result<bool> {
    let found = conn
        .prepare_cached(
            "INSERT OR REPLACE INTO purged (delivery, attempts, replays, status, reason, settled_at, purged_at)
             SELECT id, attempts, replays, status, reason, settled_at, ?2 FROM deliveries
             WHERE id = ?1 AND state = 3",
        )?
        .execute([key.0, batch.now])?;
    if found == 1 {
        conn.prepare_cached("DELETE FROM deliveries WHERE id = ?1")?.execute([key.0])?;
        batch.counters.sink(key.sink()).dead_letters -= 1;
    }
    Ok(found == 1)
}

fn purge_unreadable(conn: &Connection, batch: &mut Batch, key: Key) -> rusqlite::Result<bool> {
    let state: Option<i64> = conn
        .prepare_cached("SELECT state FROM events WHERE seq = ?1")?
        .query_row([key.seq()], |row| row.get(0))
        .optional()?;
    if state != Some(UNREADABLE) {
        return Ok(false);
    }
    let noted = conn
        .prepare_cached(
            "INSERT INTO purged (delivery, attempts, replays, purged_at) VALUES (?1, 0, 0, ?2)
             ON CONFLICT (delivery) DO NOTHING",
        )?
        .execute([key.0, batch.now])?;
    Ok(noted == 1)
}
