//! Removing what has been kept long enough, in small steps between commits.

use std::time::Duration;

use rusqlite::Connection;
use tokio::time::Instant;

use crate::age;
use crate::append;
use crate::config::{Config, Keep};
use crate::error::Fault;
use crate::ids::Ids;
use crate::key::Key;
use crate::writer::{Batch, Writer};

/// One commit removes, or looks at, at most so many rows.
pub(crate) const STEP: usize = 500;
/// How often a round is made, and how often it begins with the very first event again: what was passed over because it
/// was pending or settled late is found then.
const EVERY: Duration = Duration::from_secs(60);
const FROM_THE_START_EVERY: Duration = Duration::from_secs(3_600);
/// Free pages that stay in the file for what comes next (16 MiB).
const SPARE_PAGES: i64 = 4_096;
const VACUUM_PAGES: i64 = 512;

/// Where the walk through old events stands.
#[derive(Debug)]
pub(crate) struct Retention {
    keep_delivered: Duration,
    keep_dead: Option<Duration>,
    stage: Stage,
    walked_to: i64,
    next_round: Instant,
    next_start: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Refusals,
    Events,
    Vacuum,
}

impl Retention {
    pub(crate) fn new(config: &Config) -> Self {
        let keep_dead = match config.dead_letter_retention {
            Keep::Always => None,
            Keep::For(span) => Some(span.0),
        };
        let now = Instant::now();
        Self {
            keep_delivered: config.retention.0,
            keep_dead,
            stage: Stage::Idle,
            walked_to: 0,
            next_round: now + EVERY,
            next_start: now + FROM_THE_START_EVERY,
        }
    }

    /// Begins a round now, at the first event.
    pub(crate) fn start_over(&mut self) {
        (self.walked_to, self.stage) = (0, Stage::Refusals);
    }

    pub(crate) fn stop(&mut self) {
        self.stage = Stage::Idle;
    }

    pub(crate) fn is_at_work(&self) -> bool {
        self.stage != Stage::Idle
    }

    fn begin_when_due(&mut self) {
        let now = Instant::now();
        if now < self.next_round {
            return;
        }
        self.next_round = now + EVERY;
        self.stage = Stage::Refusals;
        if now >= self.next_start {
            self.next_start = now + FROM_THE_START_EVERY;
            self.walked_to = 0;
        }
    }

    /// Up to when events of each kind must have been settled to go.
    fn limits(&self, conn: &Connection, now: i64) -> rusqlite::Result<Limits> {
        let delivered_before = age::limit(conn, now, self.keep_delivered)?;
        let dead_before = self.keep_dead.map(|keep| age::limit(conn, now, keep)).transpose()?;
        Ok(Limits { delivered_before, unrouted_before: delivered_before, dead_before })
    }
}

/// Which events may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) delivered_before: i64,
    pub(crate) unrouted_before: i64,
    pub(crate) dead_before: Option<i64>,
}

/// What one step of the walk found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    pub(crate) to: i64,
    pub(crate) removed: usize,
    /// Whether it may be worth going on.
    pub(crate) more: bool,
}

impl Writer {
    pub(crate) fn retention_step(&mut self) -> Result<(), Fault> {
        match self.retention.stage {
            Stage::Idle => self.retention.begin_when_due(),
            Stage::Refusals => {
                let removed = self
                    .transact(|writer, batch| Ok(writer.refusals.remove_old(&writer.conn, batch, STEP)?))?;
                if removed < STEP {
                    self.retention.stage = Stage::Events;
                }
            }
            Stage::Events => {
                let from = self.retention.walked_to;
                let walked = self.transact(|writer, batch| {
                    let limits = writer.retention.limits(&writer.conn, batch.now)?;
                    Ok(remove_old_events(&writer.conn, batch, from, limits)?)
                })?;
                self.retention.walked_to = walked.to;
                if !walked.more {
                    self.retention.stage = Stage::Vacuum;
                }
            }
            Stage::Vacuum => {
                if free_pages(&self.conn)? <= SPARE_PAGES || !self.vacuum_step()? {
                    self.retention.stage = Stage::Idle;
                }
            }
        }
        Ok(())
    }

    /// Gives some free pages back to the disk; returns whether there were any.
    pub(crate) fn vacuum_step(&mut self) -> Result<bool, Fault> {
        if free_pages(&self.conn)? == 0 {
            return Ok(false);
        }
        let mut statement = self.conn.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }
}

pub(crate) fn free_pages(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))
}

/// Walks the next events in the order of acceptance and removes those whose time has come.
pub(crate) fn remove_old_events(
    conn: &Connection,
    batch: &mut Batch,
    from: i64,
    limits: Limits,
) -> rusqlite::Result<Walked> {
    let events = next_events(conn, from)?;
    let youngest_to_go =
        limits.dead_before.map_or(limits.delivered_before, |dead| dead.max(limits.delivered_before));
    let mut walked = Walked { to: from, removed: 0, more: events.len() == STEP };
    for event in events {
        // None of those that follow is older, unless the clock was ahead for a while: then this one is in the future.
        if event.received_at >= youngest_to_go && event.received_at <= batch.now {
            walked.more = false;
            break;
        }
        walked.to = event.seq;
        if event.may_go(conn, limits)? {
            remove(conn, batch, event.seq)?;
            walked.removed += 1;
        }
    }
    if walked.removed > 0 {
        note_last_seq(conn, walked.to)?;
    }
    Ok(walked)
}

struct Old {
    seq: i64,
    state: i64,
    received_at: i64,
}

fn next_events(conn: &Connection, from: i64) -> rusqlite::Result<Vec<Old>> {
    let mut statement = conn
        .prepare_cached("SELECT seq, state, received_at FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
    let rows = statement.query_map([from, limit], |row| {
        Ok(Old { seq: row.get(0)?, state: row.get(1)?, received_at: row.get(2)? })
    })?;
    rows.collect()
}

impl Old {
    fn may_go(&self, conn: &Connection, limits: Limits) -> rusqlite::Result<bool> {
        let unreadable = self.state == 2;
        let (first, last) = Key::range_of(self.seq);
        let purged = purged(conn, first, last)?;
        if purged.iter().any(|purged_at| *purged_at >= limits.delivered_before) {
            return Ok(false);
        }
        if unreadable {
            let is_old = limits.dead_before.is_some_and(|limit| self.received_at < limit);
            return Ok(is_old || !purged.is_empty());
        }
        let mut statement =
            conn.prepare_cached("SELECT state, settled_at FROM deliveries WHERE id BETWEEN ?1 AND ?2")?;
        let mut rows = statement.query([first, last])?;
        let mut deliveries = purged.len();
        while let Some(row) = rows.next()? {
            deliveries += 1;
            let settled_at: i64 = row.get::<_, Option<i64>>(1)?.unwrap_or(i64::MAX);
            let limit = match row.get(0)? {
                2 => Some(limits.delivered_before),
                3 => limits.dead_before,
                _ => None,
            };
            if limit.is_none_or(|limit| settled_at >= limit) {
                return Ok(false);
            }
        }
        Ok(deliveries > 0 || self.received_at < limits.unrouted_before)
    }
}

/// Removes an event with all that belongs to it.
pub(crate) fn remove(conn: &Connection, batch: &mut Batch, seq: i64) -> rusqlite::Result<()> {
    let (first, last) = Key::range_of(seq);
    let mut statement =
        conn.prepare_cached("DELETE FROM deliveries WHERE id BETWEEN ?1 AND ?2 RETURNING sink, state")?;
    let mut rows = statement.query([first, last])?;
    while let Some(row) = rows.next()? {
        let counters = batch.counters.sink(row.get(0)?);
        match row.get(1)? {
            2 => counters.delivered -= 1,
            3 => counters.dead_letters -= 1,
            _ => counters.pending -= 1,
        }
    }
    conn.prepare_cached("DELETE FROM attempts WHERE delivery BETWEEN ?1 AND ?2")?.execute([first, last])?;
    conn.prepare_cached("DELETE FROM purged WHERE delivery BETWEEN ?1 AND ?2")?.execute([first, last])?;
    conn.prepare_cached("DELETE FROM event_sources WHERE event = ?1")?.execute([seq])?;
    let (id, state) = conn
        .prepare_cached("DELETE FROM events WHERE seq = ?1 RETURNING id, state")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ids::remove(conn, batch, id)?;
    batch.counters.events -= 1;
    append::count_state(batch, state, -1);
    Ok(())
}

/// When the dead letters of an event were purged: from then on they are history like what was delivered.
fn purged(conn: &Connection, first: i64, last: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        conn.prepare_cached("SELECT purged_at FROM purged WHERE delivery BETWEEN ?1 AND ?2")?;
    statement.query_map([first, last], |row| row.get(0))?.collect()
}

/// The newest event may have been removed; its number is not given out again after a restart.
pub(crate) fn note_last_seq(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES ('last_seq', ?1)
         ON CONFLICT (key) DO UPDATE SET value = MAX(value, excluded.value)",
    )?
    .execute([seq])?;
    Ok(())
}
