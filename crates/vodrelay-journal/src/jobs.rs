//! Replays that go on by themselves: noting how each stands, and reading that back.

use rusqlite::{Connection, OptionalExtension, Row, params};
use vodrelay_core::JournalError;
use vodrelay_core::replay::{Job, JobState};

use crate::reader::{Reader, failed};

/// So many are remembered, the newest ones.
const MOST: i64 = 1_000;

/// Writes down how it stands, and gives it its number where it has none.
pub(crate) fn note(conn: &Connection, job: &Job) -> rusqlite::Result<u64> {
    let json =
        serde_json::to_string(job).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let id = i64::try_from(job.id).ok().filter(|id| *id > 0);
    let state = if job.state == JobState::Running { "running" } else { "ended" };
    let id: i64 = conn
        .prepare_cached(
            "INSERT INTO jobs (id, state, job) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, job = excluded.job RETURNING id",
        )?
        .query_row(params![id, state, json], |row| row.get(0))?;
    conn.prepare_cached("DELETE FROM jobs WHERE id <= ?1")?.execute([id - MOST])?;
    Ok(id.unsigned_abs())
}

/// Nobody is at work when a journal is opened.
pub(crate) fn take_over(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("UPDATE jobs SET state = 'interrupted' WHERE state = 'running'", []).map(drop)
}

impl Reader {
    /// One job, as [`vodrelay_core::Ledger::job`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn job(&self, id: u64) -> Result<Option<Job>, JournalError> {
        let Some(id) = i64::try_from(id).ok().filter(|_| self.knows_audit) else { return Ok(None) };
        self.conn()
            .query_row("SELECT id, state, job FROM jobs WHERE id = ?1", [id], read)
            .optional()
            .map_err(failed)
    }

    /// A page of jobs, as [`vodrelay_core::Ledger::jobs`] has it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<Job>, JournalError> {
        if !self.knows_audit {
            return Ok(Vec::new());
        }
        let before = before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(
            "SELECT id, state, job FROM jobs WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            [before, limit],
            read,
        )
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let (id, state): (u64, String) = (row.get(0)?, row.get(1)?);
    let odd =
        |error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error));
    let job: Job = serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(odd)?;
    let state = if state == "interrupted" { JobState::Interrupted } else { job.state };
    Ok(Job { id, state, ..job })
}
