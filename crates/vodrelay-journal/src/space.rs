//! Room on the disk: what goes first when it runs short, and when appends are refused.
//!
//! Below `min_free` kept refusals go, then the words of failed attempts, then events that are delivered. What is
//! pending and what is a dead letter never goes. Only when nothing is left to go are appends refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::Instant;
use vodrelay_core::config::ByteSize;

use crate::error::Fault;
use crate::retention::{self, Limits, STEP};
use crate::shared::Shared;
use crate::writer::Writer;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After all was shed, how long until it is worth looking for more.
const SHED_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Below this part of `min_free` appends are refused even while there is something to shed.
const LAST_PART: u64 = 4;

/// Tells how many bytes are free where the journal is.
pub(crate) type FreeBytes = Arc<dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync>;

/// Watches the disk.
pub(crate) struct Space {
    min_free: u64,
    free_bytes: FreeBytes,
    looked_at: Option<Instant>,
    low: bool,
    stage: Stage,
    walked: (i64, i64),
    shed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Refusals,
    Notes,
    Events,
    Vacuum,
    Nothing(Instant),
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("low", &self.low).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// How many bytes are free to this process where the folder is, by the disk's own answer.
///
/// # Errors
/// With what the system says.
pub fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

impl Space {
    pub(crate) fn new(min_free: u64, free_bytes: FreeBytes) -> Self {
        let stage = Stage::Refusals;
        Self { min_free, free_bytes, looked_at: None, low: false, stage, walked: (0, 0), shed: 0 }
    }

    /// Looks at the disk, about once a second, and decides whether appends are accepted. Says whether it was time.
    pub(crate) fn look(&mut self, shared: &Shared, conn: &Connection) -> bool {
        let now = Instant::now();
        if self.looked_at.is_some_and(|then| now.duration_since(then) < LOOK_EVERY) {
            return false;
        }
        self.looked_at = Some(now);
        report_size(shared, conn);
        let free = match (self.free_bytes)(&shared.folder) {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(journal.error = %error, "cannot find out how much room the journal's disk has");
                return true;
            }
        };
        metrics::gauge!("vodrelay_disk_free_bytes").set(free as f64);
        metrics::gauge!("vodrelay_journal_min_free_bytes").set(self.min_free as f64);
        self.low = free < self.min_free;
        match self.stage {
            Stage::Nothing(since) if !self.low || now.duration_since(since) >= SHED_AGAIN_AFTER => {
                self.start_over()
            }
            _ => {}
        }
        let full = self.low && (free < self.min_free / LAST_PART || matches!(self.stage, Stage::Nothing(_)));
        let least = self.min_free;
        let cause = format!(
            "{} are free where journal.min_free asks for {}",
            ByteSize(free >> 20 << 20),
            ByteSize(least)
        );
        tell(shared, full.then_some(cause));
        if !self.low {
            self.start_over();
        }
        true
    }

    /// A write found no room, whatever the disk said before.
    pub(crate) fn ran_out(&mut self, shared: &Shared, cause: &str) {
        tell(shared, Some(cause.to_owned()));
        self.looked_at = Some(Instant::now());
    }

    pub(crate) fn is_shedding(&self) -> bool {
        self.low && !matches!(self.stage, Stage::Nothing(_))
    }

    fn start_over(&mut self) {
        (self.stage, self.walked, self.shed) = (Stage::Refusals, (0, 0), 0);
    }

    fn go_on_with(&mut self, stage: Stage, what: &str) {
        if self.shed > 0 {
            tracing::warn!(journal.removed = self.shed, "the disk is short of room: {what} went");
        }
        (self.stage, self.walked, self.shed) = (stage, (0, 0), 0);
    }
}

fn tell(shared: &Shared, full: Option<String>) {
    let cause = full.clone();
    if !shared.set_full(full) {
        return;
    }
    match cause {
        Some(cause) => tracing::error!(
            journal.cause = cause,
            "the journal is full: appends are refused until there is room"
        ),
        None => {
            tracing::info!("the journal has room again");
            shared.announce_work();
        }
    }
}

fn report_size(shared: &Shared, conn: &Connection) {
    let pages: rusqlite::Result<i64> = conn
        .prepare_cached("PRAGMA page_count")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)));
    let log = std::fs::metadata(shared.folder.join(crate::open::LOG)).map_or(0, |found| found.len());
    if let Ok(pages) = pages {
        let bytes = u32::try_from(pages).map_or(f64::from(u32::MAX), f64::from) * 4_096.0;
        metrics::gauge!("vodrelay_journal_bytes").set(bytes);
    }
    metrics::gauge!("vodrelay_journal_wal_bytes")
        .set(u32::try_from(log).map_or(f64::from(u32::MAX), f64::from));
}

impl Writer {
    /// Removes a little of what may go.
    pub(crate) fn shed_step(&mut self) -> Result<(), Fault> {
        match self.space.stage {
            Stage::Refusals => {
                let removed = self.transact(|writer, batch| {
                    Ok(writer.refusals.remove_first(&writer.conn, batch, STEP, i64::MAX)?)
                })?;
                self.space.shed += removed;
                if removed < STEP {
                    self.space.go_on_with(Stage::Notes, "kept refusals");
                }
            }
            Stage::Notes => {
                let from = self.space.walked;
                let (to, cleared) = self.transact(|writer, _| Ok(clear_notes(&writer.conn, from)?))?;
                self.space.walked = to;
                self.space.shed += cleared;
                if cleared < STEP {
                    self.space.go_on_with(Stage::Events, "what failed attempts were answered");
                }
            }
            Stage::Events => {
                let (from, _) = self.space.walked;
                let walked = self.transact(|writer, batch| {
                    let limits =
                        Limits { delivered_before: i64::MAX, unrouted_before: i64::MIN, dead_before: None };
                    Ok(retention::remove_old_events(&writer.conn, batch, from, limits)?)
                })?;
                self.space.walked = (walked.to, 0);
                self.space.shed += walked.removed;
                if !walked.more {
                    self.space.go_on_with(Stage::Vacuum, "events that were delivered long before their time");
                }
            }
            Stage::Vacuum => {
                if !self.vacuum_step()? {
                    self.checkpoints.finish(&self.conn, &self.shared.folder)?;
                    self.space.go_on_with(Stage::Nothing(Instant::now()), "");
                }
            }
            Stage::Nothing(_) => {}
        }
        Ok(())
    }
}

/// Empties the notes of the next failed attempts.
fn clear_notes(conn: &Connection, from: (i64, i64)) -> rusqlite::Result<((i64, i64), usize)> {
    let mut statement = conn.prepare_cached(
        "SELECT delivery, number FROM attempts WHERE (delivery, number) > (?1, ?2) AND note <> ''
         ORDER BY delivery, number LIMIT ?3",
    )?;
    let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
    let found: Vec<(i64, i64)> = statement
        .query_map([from.0, from.1, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (delivery, number) in &found {
        conn.prepare_cached("UPDATE attempts SET note = '' WHERE delivery = ?1 AND number = ?2")?
            .execute([*delivery, *number])?;
    }
    Ok((found.last().copied().unwrap_or(from), found.len()))
}
