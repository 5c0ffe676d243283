//! Looking at when the relay was there, and when it turned events away.

use jiff::Timestamp;
use rusqlite::Row;
use vodrelay_core::{History, JournalError, Life, LifeEnd, Trouble};

use super::refusals::parsed;
use super::{Reader, failed};
use crate::key::{moment, nanos};

impl Reader {
    /// What is remembered since that moment.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn history(&self, since: Timestamp) -> Result<History, JournalError> {
        let known_since = self
            .conn()
            .query_row("SELECT MIN(started_at) FROM lives", [], |row| row.get::<_, Option<i64>>(0));
        // The gap before the first life that touches the time begins with the life before it.
        let lives = self.all(
            "SELECT started_at, beat_at, ended FROM lives
             WHERE id >= COALESCE((SELECT MIN(id) - 1 FROM lives WHERE beat_at >= ?1), (SELECT MAX(id) FROM lives))
             ORDER BY id",
            [nanos(since)],
            life,
        )?;
        let troubles = self.all(
            "SELECT kind, source, first_at, last_at, count, kept, settled FROM troubles
             WHERE last_at >= ?1 ORDER BY first_at, id",
            [nanos(since)],
            trouble,
        )?;
        Ok(History { known_since: known_since.map_err(failed)?.map(moment), lives, troubles })
    }
}

fn life(row: &Row<'_>) -> rusqlite::Result<Life> {
    let end = match row.get::<_, i64>(2)? {
        0 => LifeEnd::Open,
        1 => LifeEnd::Stopped,
        _ => LifeEnd::ClockJumped,
    };
    Ok(Life { started_at: moment(row.get(0)?), beat_at: moment(row.get(1)?), end })
}

fn trouble(row: &Row<'_>) -> rusqlite::Result<Trouble> {
    Ok(Trouble {
        kind: parsed(row, 0)?,
        source: parsed(row, 1)?,
        first_at: moment(row.get(2)?),
        last_at: moment(row.get(3)?),
        count: row.get(4)?,
        kept: row.get(5)?,
        settled: row.get(6)?,
    })
}
