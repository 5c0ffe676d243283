//! What people do with whole sinks, in the running transaction: pause, resume, have retried, rename, forget.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params};
use vodrelay_core::ledger::Step;
use vodrelay_core::{Pause, Pauses, SinkName};

use crate::key::{Key, excerpt, moment};
use crate::settle;
use crate::writer::{Batch, Names};

const LONGEST_REASON: usize = 1_024;

/// The sinks that are paused.
pub(crate) fn pauses(conn: &Connection) -> rusqlite::Result<Pauses> {
    let mut statement =
        conn.prepare_cached("SELECT name, paused_at, pause_reason FROM sinks WHERE paused_at IS NOT NULL")?;
    let mut rows = statement.query([])?;
    let mut pauses = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if let Ok(name) = SinkName::new(row.get_ref(0)?.as_str()?) {
            pauses.insert(name, Pause { since: moment(row.get(1)?), reason: row.get(2)? });
        }
    }
    Ok(Arc::new(pauses))
}

/// A sink that is paused already stays so since then.
pub(crate) fn pause(
    conn: &Connection,
    names: &mut Names,
    batch: &mut Batch,
    sink: &SinkName,
    reason: Option<&str>,
) -> rusqlite::Result<Pause> {
    let number = names.sink(conn, sink)?;
    let pause = conn
        .prepare_cached(
            "UPDATE sinks SET paused_at = COALESCE(paused_at, ?2), pause_reason = COALESCE(?3, pause_reason)
             WHERE id = ?1 RETURNING paused_at, pause_reason",
        )?
        .query_row(
            params![number, batch.now, reason.map(|reason| excerpt(reason, LONGEST_REASON))],
            |row| Ok(Pause { since: moment(row.get(0)?), reason: row.get(1)? }),
        )?;
    batch.pauses = Some(pauses(conn)?);
    Ok(pause)
}

/// Says whether it was paused.
pub(crate) fn resume(conn: &Connection, batch: &mut Batch, sink: &SinkName) -> rusqlite::Result<bool> {
    let resumed = conn
        .prepare_cached(
            "UPDATE sinks SET paused_at = NULL, pause_reason = NULL WHERE name = ?1 AND paused_at IS NOT NULL",
        )?
        .execute([sink.as_str()])?;
    batch.pauses = Some(pauses(conn)?);
    batch.work = true;
    Ok(resumed == 1)
}

/// Retries that would be due later, and were not tried since that moment, are due now. One that was tried in the future
/// was tried before the clock was set back.
pub(crate) fn retry_now(
    conn: &Connection,
    names: &mut Names,
    batch: &mut Batch,
    sink: &SinkName,
    asked_at: i64,
    limit: usize,
) -> rusqlite::Result<Step> {
    let Some(number) = names.sinks.get(sink) else { return Ok(Step::default()) };
    let mut statement = conn.prepare_cached(
        "SELECT id FROM deliveries WHERE sink = ?1 AND state = 1 AND due_at > ?2
         AND (last_attempt_at IS NULL OR last_attempt_at NOT BETWEEN ?3 AND ?2)
         ORDER BY due_at LIMIT ?4",
    )?;
    let later: Vec<i64> = statement
        .query_map([*number, batch.now, asked_at, as_limit(limit)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &later {
        conn.prepare_cached("UPDATE deliveries SET due_at = ?2 WHERE id = ?1")?.execute([*id, batch.now])?;
    }
    batch.work |= !later.is_empty();
    Ok(step(&later, limit))
}

/// Gives what the first has to the second name.
pub(crate) fn rename(
    conn: &Connection,
    names: &mut Names,
    batch: &mut Batch,
    (old, new): (&SinkName, &SinkName),
    limit: usize,
) -> rusqlite::Result<Step> {
    let (Some(from), to) = (names.sinks.get(old).copied(), names.sinks.get(new).copied()) else {
        return Ok(Step::default());
    };
    let done = match to {
        Some(to) => move_some(conn, batch, from, to, limit)?,
        None => rename_all(conn, names, (old, new), from)?,
    };
    if !done.more {
        resume(conn, batch, old)?;
    }
    batch.work = true;
    Ok(done)
}

/// Nothing is there under the new name, so the number keeps all it has but the pause: the new name may be at work.
fn rename_all(
    conn: &Connection,
    names: &mut Names,
    (old, new): (&SinkName, &SinkName),
    number: i64,
) -> rusqlite::Result<Step> {
    let changed: i64 = conn
        .prepare_cached(
            "UPDATE sinks SET name = ?2, paused_at = NULL, pause_reason = NULL WHERE id = ?1
             RETURNING pending + dead_letters + delivered",
        )?
        .query_row(params![number, new.as_str()], |row| row.get(0))?;
    names.sinks.remove(old);
    names.sinks.insert(new.clone(), number);
    Ok(Step { changed: changed.unsigned_abs(), more: false })
}

/// Moves some of what is pending or given up to a sink that is there already.
fn move_some(
    conn: &Connection,
    batch: &mut Batch,
    from: i64,
    to: i64,
    limit: usize,
) -> rusqlite::Result<Step> {
    let mut found = pending(conn, from, limit)?;
    let left = limit.saturating_sub(found.len());
    let mut statement =
        conn.prepare_cached("SELECT id FROM deliveries WHERE sink = ?1 AND state = 3 ORDER BY id LIMIT ?2")?;
    let dead = statement.query_map([from, as_limit(left)], |row| row.get(0))?;
    found.extend(dead.collect::<Result<Vec<i64>, _>>()?);
    for id in &found {
        move_one(conn, batch, Key(*id), to)?;
    }
    Ok(step(&found, limit))
}

/// Where the event has a delivery under the new name, that one stands. A dead letter that was purged there does not:
/// whoever purged it has not seen what the old name has.
fn move_one(conn: &Connection, batch: &mut Batch, old: Key, to: i64) -> rusqlite::Result<()> {
    let new = Key::new(old.seq(), to);
    let stands = conn.prepare_cached("SELECT 1 FROM deliveries WHERE id = ?1")?.exists([new.0])?;
    let state: i64 = if stands {
        conn.prepare_cached("DELETE FROM attempts WHERE delivery = ?1")?.execute([old.0])?;
        conn.prepare_cached("DELETE FROM deliveries WHERE id = ?1 RETURNING state")?
            .query_row([old.0], |row| row.get(0))?
    } else {
        if conn.prepare_cached("DELETE FROM purged WHERE delivery = ?1")?.execute([new.0])? == 1 {
            conn.prepare_cached("DELETE FROM attempts WHERE delivery = ?1")?.execute([new.0])?;
        }
        conn.prepare_cached("UPDATE attempts SET delivery = ?2 WHERE delivery = ?1")?
            .execute([old.0, new.0])?;
        conn.prepare_cached("UPDATE deliveries SET id = ?2, sink = ?3 WHERE id = ?1 RETURNING state")?
            .query_row([old.0, new.0, to], |row| row.get(0))?
    };
    let mut count = |sink: i64, by: i64| {
        let counters = batch.counters.sink(sink);
        *(if state == 3 { &mut counters.dead_letters } else { &mut counters.pending }) += by;
    };
    count(old.sink(), -1);
    if !stands {
        count(to, 1);
        batch.appeared.push(new);
    }
    batch.ended.insert(old);
    Ok(())
}

/// Gives up some of what is pending.
pub(crate) fn forget(
    conn: &Connection,
    names: &Names,
    batch: &mut Batch,
    sink: &SinkName,
    limit: usize,
) -> rusqlite::Result<Step> {
    let Some(number) = names.sinks.get(sink) else { return Ok(Step::default()) };
    let found = pending(conn, *number, limit)?;
    for id in &found {
        settle::bury(conn, batch, Key(*id), "forgotten")?;
    }
    let done = step(&found, limit);
    if !done.more {
        resume(conn, batch, sink)?;
    }
    Ok(done)
}

fn pending(conn: &Connection, sink: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
    let mut found = Vec::new();
    for sql in [
        "SELECT id FROM deliveries WHERE sink = ?1 AND state = 0 ORDER BY id LIMIT ?2",
        "SELECT id FROM deliveries WHERE sink = ?1 AND state = 1 ORDER BY due_at LIMIT ?2",
    ] {
        let left = limit.saturating_sub(found.len());
        let mut statement = conn.prepare_cached(sql)?;
        let rows = statement.query_map([sink, as_limit(left)], |row| row.get(0))?;
        found.extend(rows.collect::<Result<Vec<i64>, _>>()?);
    }
    Ok(found)
}

fn step(found: &[i64], limit: usize) -> Step {
    Step { changed: found.len() as u64, more: found.len() == limit }
}

fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
