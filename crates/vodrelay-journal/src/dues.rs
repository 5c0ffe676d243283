//! Retries after the clock on the wall was set back: they are due at a moment, so they move back with it.
//!
//! Then none waits longer than it was meant to. One that was noted before the clock had jumped ahead comes early instead,
//! as all did that came due by that jump.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::retention::STEP;
use crate::writer::Batch;

/// By how much the retries are being moved, and how far that has come.
#[derive(Debug)]
pub(crate) struct Dues {
    moving: Option<Moving>,
    /// The transaction under way came to nothing: what is to be done stands in the file.
    unsure: bool,
}

#[derive(Clone, Copy, Debug)]
struct Moving {
    back_by: i64,
    sink: i64,
    due_at: i64,
    id: i64,
}

impl Moving {
    fn beginning(back_by: i64) -> Self {
        Self { back_by, sink: 0, due_at: 0, id: 0 }
    }
}

impl Dues {
    /// Goes on with what an earlier life did not come to the end of. Some move twice then, and come early.
    pub(crate) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let back_by: Option<i64> = conn
            .prepare_cached("SELECT value FROM meta WHERE key = 'retries_back_by'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(Self { moving: back_by.map(Moving::beginning), unsure: false })
    }

    /// Whether to go on at once. After a failure the next commit does.
    pub(crate) fn are_moving(&self) -> bool {
        self.moving.is_some() && !self.unsure
    }

    /// Notes in the running transaction that the clock was set back by so much.
    pub(crate) fn set_back(&mut self, conn: &Connection, by: i64) -> rusqlite::Result<()> {
        self.settle_doubt(conn)?;
        let back_by = self.moving.map_or(0, |moving| moving.back_by).saturating_add(by);
        conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('retries_back_by', ?1)")?
            .execute([back_by])?;
        self.moving = Some(Moving::beginning(back_by));
        tracing::warn!(
            clock.back_by = ?Duration::from_nanos(by.unsigned_abs()),
            "the clock of the machine was set back; retries move back with it, so that none waits longer than it was meant to"
        );
        Ok(())
    }

    /// Moves some in the running transaction, if there is anything to move.
    pub(crate) fn step(&mut self, conn: &Connection, batch: &mut Batch) -> rusqlite::Result<()> {
        self.settle_doubt(conn)?;
        let Some(moving) = &mut self.moving else { return Ok(()) };
        let later = next(conn, *moving, batch.now)?;
        for (sink, due_at, id) in &later {
            let sooner = due_at.saturating_sub(moving.back_by).max(batch.now);
            conn.prepare_cached("UPDATE deliveries SET due_at = ?2 WHERE id = ?1")?.execute([*id, sooner])?;
            (moving.sink, moving.due_at, moving.id) = (*sink, *due_at, *id);
        }
        batch.work |= !later.is_empty();
        if later.len() < STEP {
            conn.prepare_cached("DELETE FROM meta WHERE key = 'retries_back_by'")?.execute([])?;
            self.moving = None;
        }
        Ok(())
    }

    pub(crate) fn roll_back(&mut self) {
        self.unsure = true;
    }

    fn settle_doubt(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.unsure {
            *self = Self::load(conn)?;
        }
        Ok(())
    }
}

/// The next of those that wait, sink by sink, the first due first: what has moved is behind the mark.
fn next(conn: &Connection, moving: Moving, now: i64) -> rusqlite::Result<Vec<(i64, i64, i64)>> {
    let mut statement = conn.prepare_cached(
        "SELECT sink, due_at, id FROM deliveries
         WHERE state = 1 AND due_at > ?4 AND (sink, due_at, id) > (?1, ?2, ?3)
         ORDER BY sink, due_at, id LIMIT ?5",
    )?;
    let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![moving.sink, moving.due_at, moving.id, now, limit], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    rows.collect()
}
