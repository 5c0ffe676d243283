//! Settling outcomes in the running transaction.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use vodrelay_core::{Attempt, Outcome, SettleResult, Settled};

use crate::key::{Key, excerpt, millis_of, moment, nanos};
use crate::shared::Shared;
use crate::writer::Batch;

/// Of the attempts that failed, so many of the first are kept, and so many of the last.
const FIRST_KEPT: i64 = 3;
const LAST_KEPT: i64 = 17;
const LONGEST_NOTE: usize = 512;
const LONGEST_REASON: usize = 1_024;

/// From here on a state is final.
const DELIVERED: i64 = 2;

/// Writes one outcome, if it counts.
pub(crate) fn settle(
    conn: &Connection,
    shared: &Shared,
    batch: &mut Batch,
    settled: &Settled,
) -> rusqlite::Result<SettleResult> {
    let Some(key) = Key::from_token(settled.token.delivery) else { return Ok(SettleResult::Unknown) };
    let state: Option<i64> = conn
        .prepare_cached("SELECT state FROM deliveries WHERE id = ?1")?
        .query_row([key.0], |row| row.get(0))
        .optional()?;
    if state.is_none_or(|state| state >= DELIVERED) {
        return Ok(SettleResult::Unknown);
    }
    let runs = !batch.ended.contains(&key) && shared.leases().runs(key, settled.token.lease, batch.steady);
    if !runs && settled.outcome != Outcome::Delivered {
        return Ok(SettleResult::Expired);
    }
    batch.ended.insert(key);
    if let Some(attempt) = &settled.attempt {
        note_attempt(conn, key, attempt, &settled.outcome)?;
    }
    write_outcome(conn, batch, key, settled)?;
    batch.settled += 1;
    Ok(SettleResult::Done)
}

fn note_attempt(conn: &Connection, key: Key, attempt: &Attempt, outcome: &Outcome) -> rusqlite::Result<()> {
    let number: i64 = conn
        .prepare_cached(
            "UPDATE deliveries SET attempts = attempts + 1, tries = tries + 1, age_ms = ?2,
             first_attempt_at = COALESCE(first_attempt_at, ?3), last_attempt_at = ?3, status = ?4, took_ms = ?5
             WHERE id = ?1 RETURNING attempts",
        )?
        .query_row(
            params![
                key.0,
                millis_of(attempt.age),
                nanos(attempt.started_at),
                attempt.status,
                millis_of(attempt.took)
            ],
            |row| row.get(0),
        )?;
    // The delivery's own row tells all there is to tell of a success.
    if *outcome == Outcome::Delivered {
        return Ok(());
    }
    conn.prepare_cached(
        "INSERT OR REPLACE INTO attempts (delivery, number, started_at, took_ms, status, note)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        key.0,
        number,
        nanos(attempt.started_at),
        millis_of(attempt.took),
        attempt.status,
        excerpt(&attempt.note, LONGEST_NOTE),
    ])?;
    if number > FIRST_KEPT + LAST_KEPT {
        conn.prepare_cached("DELETE FROM attempts WHERE delivery = ?1 AND number > ?2 AND number <= ?3")?
            .execute([key.0, FIRST_KEPT, number - LAST_KEPT])?;
    }
    Ok(())
}

fn write_outcome(conn: &Connection, batch: &mut Batch, key: Key, settled: &Settled) -> rusqlite::Result<()> {
    match &settled.outcome {
        Outcome::Delivered => {
            conn.prepare_cached(
                "UPDATE deliveries SET state = 2, settled_at = ?2, due_at = NULL, crashes = 0 WHERE id = ?1",
            )?
            .execute([key.0, batch.now])?;
            let counters = batch.counters.sink(key.sink());
            counters.pending -= 1;
            counters.delivered += 1;
        }
        Outcome::DeadLetter(reason) => bury(conn, batch, key, reason)?,
        Outcome::RetryAt(at) => {
            let due_at = settled.due_at(*at, moment(batch.now));
            conn.prepare_cached("UPDATE deliveries SET state = 1, due_at = ?2, crashes = 0 WHERE id = ?1")?
                .execute([key.0, nanos(due_at)])?;
        }
        Outcome::Released => {
            conn.prepare_cached("UPDATE deliveries SET crashes = 0 WHERE id = ?1 AND crashes > 0")?
                .execute([key.0])?;
            batch.appeared.push(key);
        }
    }
    Ok(())
}

/// Makes a dead letter of a pending delivery.
pub(crate) fn bury(conn: &Connection, batch: &mut Batch, key: Key, reason: &str) -> rusqlite::Result<()> {
    let buried = conn
        .prepare_cached(
            "UPDATE deliveries SET state = 3, settled_at = ?2, due_at = NULL, crashes = 0, reason = ?3
             WHERE id = ?1 AND state < 2",
        )?
        .execute(params![key.0, batch.now, excerpt(reason, LONGEST_REASON)])?;
    if buried == 1 {
        batch.ended.insert(key);
        let counters = batch.counters.sink(key.sink());
        counters.pending -= 1;
        counters.dead_letters += 1;
    }
    Ok(())
}

/// How long an attempt took, as it is read back.
pub(crate) fn span(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}
